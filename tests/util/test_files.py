"""Files and folders that are complete before they get their names, whatever fails or is killed on the way."""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from helpers.forks import forked
from scipy import sparse
from sklearn.linear_model import Ridge

from atomprint.util import files
from atomprint.util.files import WholeFolder, write_atomically, write_together, written_atomically
from atomprint.util.store import Store, digest_of

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
NAMES = ("a.txt", "b.txt", "c.bin")


def stop_at(monkeypatch, place, what):
    """Have something happen at one of the steps in which files and folders are written; return the steps so far."""
    steps = []

    def watched(owner, name):
        original = getattr(owner, name)

        def step(*args, **kwargs):
            steps.append(name)
            if len(steps) == place:
                what()
            made = original(*args, **kwargs)
            steps.append(name)
            if len(steps) == place:
                what()
            return made

        monkeypatch.setattr(owner, name, step)

    for name in ("replace", "mkdir", "unlink", "chmod"):
        watched(Path, name)
    watched(os, "fsync")
    watched(shutil, "rmtree")
    watched(files, "_exchanged")
    watched(files, "_lock")
    return steps


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def write(text):
    def writer(folder):
        write_atomically(folder / "a.txt", text)
        write_together(folder, {"b.txt": lambda: text, "c.bin": lambda: [text, text]})

    return writer


def state(folder):
    """Return what is in a folder as a reader finds it: which run wrote each file."""
    return {path.name: path.read_text()[:3] for path in sorted(folder.iterdir()) if path.is_file()}


@posix
def test_whoever_kills_it_there_is_one_run_or_the_other(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with WholeFolder(folder) as whole:
        whole.write(write("old"))
    (folder / "notes.txt").write_text("mine")
    ends = set()
    place = 0
    while True:
        place += 1

        def child(place=place):
            stop_at(monkeypatch, place, kill)
            with WholeFolder(folder, force=True, own=NAMES) as whole:
                whole.write(write("new"))

        code = forked(child)
        found = state(folder)
        assert found.pop("notes.txt") == "min", place
        assert found in (dict.fromkeys(NAMES, "old"), dict.fromkeys(NAMES, "new")), place
        ends.add(found["a.txt"])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        with WholeFolder(folder, force=True, own=NAMES) as whole:  # and the next one is not in its way
            whole.write(write("old"))
    assert place > 20
    assert ends == {"old", "new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@posix
def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "above" / "out"
    code, place = None, 0
    while code != 0:
        place += 1

        def child(place=place):
            stop_at(monkeypatch, place, kill)
            with WholeFolder(folder) as whole:
                whole.write(write("new"))

        code = forked(child)
        assert not folder.exists() or state(folder) == dict.fromkeys(NAMES, "new")
        if folder.exists() and code != 0:
            shutil.rmtree(folder)
    assert place > 20


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_errors_of_the_disk_name_the_file_and_lose_nothing(number, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with WholeFolder(folder) as whole:
        whole.write(write("old"))

    def fail():
        raise OSError(number, os.strerror(number))

    place, failed = 0, 0
    while True:
        place += 1
        with monkeypatch.context() as patch:
            stop_at(patch, place, fail)
            said = ""
            try:
                with WholeFolder(folder, force=True, own=NAMES) as whole:
                    whole.write(write("new"))
            except OSError as error:
                said = str(error)
            if not said and state(folder)["a.txt"] == "new":
                break
            failed += bool(said)
            assert not said or os.strerror(number) in said or "somebody else" in said  # as a lock fails
        assert state(folder) in (dict.fromkeys(NAMES, "old"), dict.fromkeys(NAMES, "new")), place
    assert failed > 10


@posix
def test_a_disk_that_is_full_is_told_in_one_line(tmp_path):
    import resource

    write_atomically(tmp_path / "table.csv", "old")

    def child():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        write_atomically(tmp_path / "table.csv", ["x" * 100 for _ in range(10_000)])

    assert forked(child, tmp_path / "said.txt") == 3
    assert "File too large" in (tmp_path / "said.txt").read_text()
    assert "table.csv" in (tmp_path / "said.txt").read_text()
    assert (tmp_path / "table.csv").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "said.txt"}


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    with WholeFolder(tmp_path / "out") as whole:
        whole.write(write("old"))
    with (
        pytest.raises(FileExistsError, match=r"is there already, with something in it: .* \(--force\)"),
        WholeFolder(tmp_path / "out"),
    ):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is a file"), WholeFolder(tmp_path / "file", force=True):
        pass
    (tmp_path / "empty").mkdir()
    with WholeFolder(tmp_path / "empty") as whole:
        assert whole.write(write("new")) == tmp_path / "empty"
    assert state(tmp_path / "empty")["a.txt"] == "new"


def test_what_comes_meanwhile_is_not_replaced(tmp_path):
    with WholeFolder(tmp_path / "out") as whole:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        (tmp_path / "out-2").mkdir()
        assert whole.write(write("new")) == tmp_path / "out-3"
    assert state(tmp_path / "out") == {"thesis.txt": "min"}
    assert state(tmp_path / "out-3")["a.txt"] == "new"


def test_folders_of_others_in_an_old_run_stay(tmp_path):
    with WholeFolder(tmp_path / "out") as whole:
        whole.write(write("old"))
    (tmp_path / "out" / "plots" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "plots" / "deep" / "x.png").write_text("mine")
    os.symlink("a.txt", tmp_path / "out" / "link")
    with WholeFolder(tmp_path / "out", force=True, own=(*NAMES, "d.txt")) as whole:
        whole.write(write("new"))
    assert (tmp_path / "out" / "plots" / "deep" / "x.png").read_text() == "mine"
    assert (tmp_path / "out" / "link").read_text() == "new"


def test_files_of_any_kind_stay_as_they_are(tmp_path):
    folder = tmp_path / "out"
    with WholeFolder(folder) as whole:
        whole.write(write("old"))
    os.symlink("../somewhere", folder / "nowhere")
    (folder / "sub").mkdir()
    os.symlink("../../data", folder / "sub" / "data")
    with (folder / "log.txt").open("w") as log:
        log.write("begun, ")
        log.flush()
        with WholeFolder(folder, force=True, own=NAMES) as whole:
            whole.write(write("new"))
        log.write("done")
    assert state(folder) == {**dict.fromkeys(NAMES, "new"), "log.txt": "beg"}
    assert os.readlink(folder / "nowhere") == "../somewhere"
    assert os.readlink(folder / "sub" / "data") == "../../data"
    if sys.platform == "linux":
        assert (folder / "log.txt").read_text() == "begun, done"


def test_files_that_only_have_the_names_are_not_replaced(tmp_path, monkeypatch):
    (tmp_path / NAMES[1]).write_text("mine")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, "."):
        with (
            pytest.raises(FileExistsError, match=rf"has a file {NAMES[1]}, but no {NAMES[0]}: .* is not replaced"),
            WholeFolder(folder, force=True, own=NAMES),
        ):
            pass
    assert state(tmp_path) == {NAMES[1]: "min"}


def test_nothing_of_an_old_run_stays_where_we_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    for content, own in (("old", NAMES), ("new", (*NAMES, "d.txt"))):
        with WholeFolder(".", force=True, own=own) as whole:
            whole.write(write(content))
        assert state(tmp_path) == {**dict.fromkeys(NAMES, content), "notes.txt": "min"}
        (tmp_path / "d.txt").write_text("of the old run")


def test_an_old_folder_comes_back_where_folders_cannot_be_exchanged(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with WholeFolder(folder) as whole:
        whole.write(write("old"))
    (folder / "notes.txt").write_text("mine")
    monkeypatch.setattr(files, "_exchanged", lambda *_folders: False)

    def killed(*_arguments):
        raise SystemExit

    replace = Path.replace
    with monkeypatch.context() as patch, WholeFolder(folder, force=True, own=NAMES) as whole:
        patch.setattr(Path, "replace", lambda path, to: killed() if path.name == "new" else replace(path, to))
        patch.setattr(files.shutil, "rmtree", lambda *_path, **_options: None)
        with pytest.raises(SystemExit):
            whole.write(write("new"))
    assert not folder.exists()
    with pytest.raises(FileExistsError, match="something in it"), WholeFolder(folder):
        pass
    assert state(folder) == {**dict.fromkeys(NAMES, "old"), "notes.txt": "min"}
    with WholeFolder(folder, force=True, own=NAMES) as whole:
        whole.write(write("new"))
    assert state(folder) == {**dict.fromkeys(NAMES, "new"), "notes.txt": "min"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_at_once(tmp_path):
    with WholeFolder(tmp_path / "out") as first:
        with (
            pytest.raises(BlockingIOError, match=r"somebody else is writing .*out' at the moment"),
            WholeFolder(tmp_path / "out", force=True),
        ):
            pass
        with first:  # not in its own way
            first.write(write("new"))
    assert state(tmp_path / "out")["a.txt"] == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@posix
def test_a_lock_ends_with_its_process(tmp_path):
    def child():
        WholeFolder(tmp_path / "out").__enter__()
        kill()

    assert forked(child) == -signal.SIGKILL
    assert (tmp_path / ".out.partial" / "lock").exists()
    with WholeFolder(tmp_path / "out") as whole:
        whole.write(write("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_vanishes_is_made_again(tmp_path):
    with WholeFolder(tmp_path / "above" / "out") as whole:
        shutil.rmtree(tmp_path / "above")
        whole.write(write("new"))
    assert state(tmp_path / "above" / "out")["a.txt"] == "new"


def test_links_and_where_we_are(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "link")
    with WholeFolder(tmp_path / "link") as whole:
        whole.write(write("new"))
    assert (tmp_path / "link").is_symlink()
    assert state(tmp_path / "real")["a.txt"] == "new"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with WholeFolder(".") as whole:
        whole.write(write("new"))
    assert state(tmp_path / "here") == dict.fromkeys(NAMES, "new")
    assert Path("a.txt").read_text() == "new"


def test_failures_leave_no_folders_but_what_was_kept(tmp_path):
    with pytest.raises(ValueError, match="no"), WholeFolder(tmp_path / "a" / "b"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []

    def stopped():
        with WholeFolder(tmp_path / "a" / "b") as whole:
            Store(whole.kept).result("fit", (1,), dict)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stopped()
    with WholeFolder(tmp_path / "a" / "b") as whole:
        assert len(list(whole.kept.iterdir())) == 1
    assert not (tmp_path / "a" / "b").exists()


def test_names_as_long_as_the_system_takes(tmp_path):
    name = "n" * 250 + ".csv"
    write_atomically(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"


def test_files_that_are_written_together(tmp_path):
    write_together(tmp_path, {"a": lambda: "old", "b": lambda: "old"})

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, {"a": lambda: "new", "b": fail})
    assert state(tmp_path) == {"a": "old", "b": "old"}


def test_errors_name_the_file_that_was_to_be_written(tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left on device"), PermissionError(errno.EACCES, "Permission denied")):
        with pytest.raises(type(error), match=r"table.csv") as caught, written_atomically(tmp_path / "table.csv"):
            raise error
        assert caught.value.filename == str(tmp_path / "table.csv")
        assert list(tmp_path.iterdir()) == []


# What is kept -------------------------------------------------------------------------------------------------------


def test_results_are_found_by_what_they_were_made_from(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"values": np.arange(3.0), "none": None, "chosen": {"alpha": 0.1}, "seconds": (1.5, 2)}

    tmp_path.joinpath("kept").mkdir()
    for salt in ("1", "1", "2"):
        store = Store(tmp_path / "kept", salt)
        X = np.ones((3, 2))
        for alpha in (1.0, 1.0, 2.0):
            found = store.result("fit", (Ridge(alpha=alpha), X, [(np.arange(2), None)]), make)
            np.testing.assert_array_equal(found["values"], np.arange(3.0))
            assert found["chosen"] == {"alpha": 0.1}
            assert found["none"] is None
            assert tuple(found["seconds"]) == (1.5, 2)
    assert len(made) == 4
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    Store(tmp_path / "kept", "1").result("fit", (Ridge(), X, [(np.arange(2), None)]), make)
    assert len(made) == 5  # what was damaged is made again
    assert Store().result("fit", (1,), lambda: {"a": 1}) == {"a": 1}
    assert Store(tmp_path / "gone").result("fit", (1,), lambda: {"a": 1}) == {"a": 1}  # no place: not kept


def test_digests_tell_contents_apart():
    class Mine(Ridge):
        pass

    salt = bulk("NaCl", "rocksalt", a=5.6)
    moved, other = salt.copy(), salt.copy()
    moved.positions[0, 0] += 1e-12
    other.pbc = False
    different = [
        1, 1.0, "1", None, True, [1], [[1]], (1, 2), {"a": 1}, {"a": 2}, {"b": 1},
        np.array([1]), np.array([1.0]), np.array([[1.0]]), np.array([1.0], dtype=np.float32),
        np.array(["1"], dtype=object),
        sparse.csr_array(np.eye(2)), sparse.csr_array(np.ones((2, 2))), Ridge(), Ridge(2), Mine(), salt, moved, other,
    ]  # fmt: skip
    digests = [digest_of(item) for item in different]
    assert len(set(digests)) == len(digests)
    assert digest_of(salt) == digest_of(salt.copy())
    assert digest_of(Ridge()) == digest_of(Ridge())

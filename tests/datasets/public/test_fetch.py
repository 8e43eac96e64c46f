"""Downloads and archives: everything that can go wrong with them, against a server of our own."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.data_server import Server

from atomprint.datasets import REGISTRY, DataFileError, Entry, RemoteFile, cache_folder, extract_archive, fetch
from atomprint.datasets.public.archives import archive_files
from atomprint.datasets.public.cache import fetch_file, find_file
from atomprint.formats.opening import open_binary

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("ATOMPRINT_DATA", "ATOMPRINT_MIRRORS", "ATOMPRINT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("atomprint.datasets.public.cache._PAUSE_SECONDS", 0.0)
    with Server(files={"data.bin": CONTENT}) as server:
        yield server


def remote(server: Server, sha256: str | None = SHA256, name: str = "data.bin") -> RemoteFile:
    return RemoteFile("local.bin", f"{server.url}/{name}", sha256)


def test_good_download_and_no_second_one(server, tmp_path):
    told = []
    place = fetch_file(remote(server), cache=tmp_path, progress=lambda *args: told.append(args))
    assert place == tmp_path / "local.bin"
    assert place.read_bytes() == CONTENT
    assert told[-1] == ("download local.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert place.stat().st_mode & 0o044 == 0o044  # a cache may be shared
    assert fetch_file(remote(server), cache=tmp_path) == place
    assert len(server.requests) == 1
    assert os.listdir(tmp_path) == ["local.bin"]


def test_wrong_hash_names_expected_and_found(server, tmp_path):
    wrong = "0" * 64
    with pytest.raises(DataFileError, match=rf"expected {wrong} but got {SHA256}"):
        fetch_file(remote(server, wrong), cache=tmp_path)
    assert os.listdir(tmp_path) == []
    assert len(server.requests) == 1  # it would be as wrong again


def test_damaged_copies_are_replaced(server, tmp_path):
    (tmp_path / "local.bin").write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataFileError, match=rf"expected SHA-256 {SHA256}, found {found}"):
        fetch_file(remote(server), cache=tmp_path, offline=True)
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT


def test_file_without_published_hash_is_reported(server, tmp_path):
    pytest.importorskip("pooch")
    with pytest.warns(UserWarning, match=f"could not be verified.*found SHA-256 {SHA256}"):
        fetch_file(remote(server, None), cache=tmp_path)
    fetch_file(remote(server, None), cache=tmp_path, offline=True)  # no second warning


def test_web_page_is_not_taken_for_a_file_without_hash(server, tmp_path):
    server.files["data.bin"] = b"<html>Please log in</html>"
    with pytest.raises(DataFileError, match="the server sent a web page instead of the file"):
        fetch_file(remote(server, None), cache=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_broken_connection_goes_on_or_starts_anew(server, tmp_path, sha256, recwarn):
    server.broken["data.bin"] = [100_000, 100_000]
    assert fetch_file(remote(server, sha256), cache=tmp_path).read_bytes() == CONTENT
    # Without a hash nothing could tell whether two parts belong together: then there is no resuming.
    # Pieces of 64 KiB are kept.
    expected = [None, "bytes=65536-", "bytes=131072-"] if sha256 else [None] * 3
    assert [asked for _, asked in server.requests] == expected
    assert os.listdir(tmp_path) == ["local.bin"]


def test_server_without_ranges_gets_a_clean_retry(server, tmp_path):
    server.ranges = False
    server.broken["data.bin"] = [100_000]
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=65536-"]


def test_part_of_an_earlier_run_is_used(server, tmp_path):
    server.broken["data.bin"] = [100_000, 1, 1]
    with pytest.raises(DataFileError, match=r"(?s)could not be downloaded:.*Get it from .*data.bin.* and put it at"):
        fetch_file(remote(server), cache=tmp_path)
    assert os.listdir(tmp_path) == ["local.bin.part"]
    assert (tmp_path / "local.bin.part").read_bytes() == CONTENT[:65_536]
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("data.bin", "bytes=65536-")
    assert os.listdir(tmp_path) == ["local.bin"]


@pytest.mark.parametrize(
    "part", [b"of another file" * 100, CONTENT, CONTENT + b"and more"], ids=["other", "all", "more"]
)
def test_parts_that_do_not_fit_do_no_harm(server, tmp_path, part):
    (tmp_path / "local.bin.part").write_bytes(part)
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["local.bin"]


def test_busy_server_is_asked_again_and_missing_file_is_not(server, tmp_path):
    server.errors["data.bin"] = [503]
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT
    with pytest.raises(DataFileError, match="404"):
        fetch_file(remote(server, name="missing"), cache=tmp_path / "other")
    assert [name for name, _ in server.requests].count("missing") == 1


def test_mirrors_are_tried_in_turn(server, tmp_path, monkeypatch):
    server.files["mirror/local.bin"] = CONTENT
    server.files["bad/local.bin"] = b"not the same"
    mirrors = [f"{server.url}/none", f"{server.url}/bad/", f"{server.url}/mirror"]
    one = fetch_file(remote(server, name="missing"), cache=tmp_path, mirrors=mirrors)
    assert one.read_bytes() == CONTENT
    assert [name for name, _ in server.requests] == ["missing", "none/local.bin", "bad/local.bin", "mirror/local.bin"]
    monkeypatch.setenv("ATOMPRINT_MIRRORS", ", ".join(mirrors))
    monkeypatch.setenv("ATOMPRINT_DATA", str(tmp_path / "other"))
    assert fetch_file(remote(server, name="missing")) == tmp_path / "other" / "local.bin"


def test_unreachable_server_leads_to_the_mirror(server, tmp_path):
    server.files["mirror/local.bin"] = CONTENT
    dead = RemoteFile("local.bin", "http://127.0.0.1:9/data.bin", SHA256)  # nobody listens there
    assert fetch_file(dead, cache=tmp_path, mirrors=[f"{server.url}/mirror"]).read_bytes() == CONTENT
    with pytest.raises(DataFileError, match=r"127\.0\.0\.1"):
        fetch_file(dead, cache=tmp_path / "other")


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_says_what_to_do(server, tmp_path, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("ATOMPRINT_OFFLINE", "1")
    offline = True if how == "argument" else None
    place = tmp_path / "local.bin"
    with pytest.raises(DataFileError, match=f"Get it from {server.url}/data.bin and put it at {place}"):
        fetch_file(remote(server), cache=tmp_path, offline=offline)
    place.write_bytes(CONTENT)
    assert fetch_file(remote(server), cache=tmp_path, offline=offline) == place
    assert server.requests == []


def test_fetch_by_name(server, tmp_path, monkeypatch):
    files = (remote(server), RemoteFile("second", f"{server.url}/data.bin", SHA256))
    monkeypatch.setitem(REGISTRY, "mine", Entry("mine", "", "load_g2", files, 1, "structures", {}, "", "", ""))
    assert fetch("mine", cache=tmp_path) == (tmp_path / "local.bin", tmp_path / "second")
    assert fetch("g2") == ()
    with pytest.raises(ValueError, match="name must be that of a public data set, got 'mime': did you mean mine"):
        fetch("mime")


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ATOMPRINT_DATA", raising=False)
    assert "atomprint" in str(cache_folder())
    monkeypatch.setenv("ATOMPRINT_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    assert cache_folder("~/x") == Path.home() / "x"


def test_cache_that_cannot_be_written_to(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match=r"local\.bin cannot be written"):
        fetch_file(remote(server), cache=tmp_path / "file")


def test_ctrl_c_leaves_no_file_under_the_final_name(server, tmp_path):
    def interrupt(what, done, total):
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_file(remote(server), cache=tmp_path, progress=interrupt)
    assert os.listdir(tmp_path) == ["local.bin.part"]
    assert fetch_file(remote(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1].startswith("bytes=1")


FETCH = """
import sys
from atomprint.datasets import RemoteFile
import atomprint.datasets.public.download as download
from atomprint.datasets.public.cache import fetch_file
download._CONNECT_SECONDS = download._SILENCE_SECONDS = None  # wait for as long as the server does
url, sha256, cache = sys.argv[1:]
fetch_file(RemoteFile("local.bin", url, sha256), cache=cache)
"""


def start(server: Server, cache: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", FETCH, f"{server.url}/data.bin", SHA256, str(cache)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_real_ctrl_c_and_two_processes_at_once(server, tmp_path):
    pytest.importorskip("pooch")
    server.hold_at = 200_000  # the process waits for the rest, however slow or fast the machine is
    process = start(server, tmp_path)
    while not any(file.stat().st_size > 65_536 for file in tmp_path.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in errors
    assert os.listdir(tmp_path) == ["local.bin.part"]
    server.hold_at = 50_000
    processes = [start(server, tmp_path), start(server, tmp_path)]
    while len(server.requests) < 3:  # both are in the middle of it
        assert any(process.poll() is None for process in processes)
        time.sleep(0.01)
    server.go_on.set()
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert (tmp_path / "local.bin").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["local.bin"]


def test_many_threads_at_once(server, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    for name in ("_CONNECT_SECONDS", "_SILENCE_SECONDS"):  # a slow machine must not make a thread ask again
        monkeypatch.setattr(f"atomprint.datasets.public.download.{name}", None)
    server.hold_at = 100_000
    places = []
    threads = [
        threading.Thread(target=lambda: places.append(fetch_file(remote(server), cache=tmp_path))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    while len(server.requests) < len(threads):  # each is in the middle of it
        assert all(thread.is_alive() for thread in threads)
        time.sleep(0.01)
    server.go_on.set()
    for thread in threads:
        thread.join()
    assert places == [tmp_path / "local.bin"] * 6
    assert places[0].read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["local.bin"]


def test_files_that_the_user_has(tmp_path):
    (tmp_path / "b").write_text("")
    assert find_file(tmp_path / "b", ["a"]) == tmp_path / "b"
    assert find_file(tmp_path, ["a", "b"]) == tmp_path / "b"
    with pytest.raises(DataFileError, match="has none of c, d"):
        find_file(tmp_path, ["c", "d"])
    with pytest.raises(DataFileError, match="no such file or folder"):
        find_file(tmp_path / "c", ["c"])


def tar(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def link(name: str, to: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.zip"])
def test_good_archives(tmp_path, name):
    files = {"folder/one.txt": b"1" * 10_000, "two.txt": b""}
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.mkdir("folder")
            for file, content in files.items():
                archive.writestr(file, content)
    else:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        tar(tmp_path / name, {"./": folder, **files})
    assert {file: content.read() for file, content in archive_files(tmp_path / name)} == files
    target = extract_archive(tmp_path / name, tmp_path / "out")
    assert {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*.txt")} == files
    assert sorted(os.listdir(tmp_path)) == sorted([name, "out"])
    with pytest.raises(FileExistsError, match="folder must not exist"):
        extract_archive(tmp_path / name, target)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil"], ids=lambda name: name
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_that_lead_out_of_their_folder(tmp_path, name, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("good", b"1")
            archive.writestr(name, b"1")
    else:
        tar(path, {"good": b"1", name: b"1"})
    with pytest.raises(DataFileError, match="the archive is not safe"):
        extract_archive(path, tmp_path / "deep" / "out")
    assert os.listdir(tmp_path / "deep") == []
    assert os.listdir(tmp_path) in ([path.name, "deep"], ["deep", path.name])


@pytest.mark.parametrize(
    "member", [link("x", "/etc", tarfile.SYMTYPE), link("x", "good", tarfile.LNKTYPE), link("x", "", tarfile.FIFOTYPE)]
)
def test_archives_with_links_or_devices(tmp_path, member):
    tar(tmp_path / "a.tar", {"good": b"1", "x": member, "x/passwd": b"1"})
    with pytest.raises(DataFileError, match="member 'x' is a link or a device"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.zip"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.8])
def test_truncated_archives(tmp_path, name, share):
    path = tmp_path / name
    content = np.random.default_rng(1).bytes(50_000)
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("one", content)
    else:
        tar(path, {"one": content})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataFileError, match="is truncated or damaged"):
        extract_archive(path, tmp_path / "out")
    assert os.listdir(tmp_path) == [name]


def test_files_are_decompressed_by_what_is_in_them(tmp_path):
    import bz2
    import gzip
    import lzma

    for compress in (gzip.compress, bz2.compress, lzma.compress, bytes):
        (tmp_path / "file").write_bytes(compress(b"content"))
        with open_binary(tmp_path / "file") as file:
            assert file.read() == b"content"

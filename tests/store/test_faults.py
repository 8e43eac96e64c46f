"""Whatever kills a build, and whenever: the finished store is that of an undisturbed run, byte for byte."""

import os
import resource
import signal
import sys

import pytest
from ase.io import write
from helpers.forks import fork, forked

from atomprint.store import FeatureStore, build_store

from .test_build import SMALL, crystals, files

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture
def undisturbed(tmp_path):
    """Return a source, and the files of its store."""
    write(tmp_path / "some.extxyz", crystals(8))
    build_store(tmp_path / "whole", tmp_path / "some.extxyz", "SOAP", SMALL, block=4)
    return tmp_path / "some.extxyz", files(tmp_path / "whole")


def killed_at_event(number, build):
    """Build in a child that is killed when it is about to touch the disk for the so-many-th time."""

    def child():
        left = [number]

        def hook(event, arguments):
            if event in ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "shutil.rmtree"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        build()

    return forked(child)


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_wherever_it_touches_the_disk(step, undisturbed, tmp_path):
    source, expected = undisturbed
    number, ends = 1, []
    while 0 not in ends:
        store = tmp_path / f"s{number}"  # from nothing, and so at each place once
        ends.append(killed_at_event(number, lambda store=store: build_store(store, source, "SOAP", SMALL, block=4)))
        assert ends[-1] in (0, -signal.SIGKILL)
        if (store / "store.json").exists():
            assert FeatureStore.open(store).verify() == {}
        build_store(store, source, "SOAP", SMALL, block=4)
        assert files(store) == expected
        number += step
    assert len(ends) > 60 // step


def test_killed_at_random_moments_again_and_again(undisturbed, tmp_path):
    source, expected = undisturbed

    def child(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)  # whose signal ends a process in the midst of whatever it does
        build_store(tmp_path / "s", source, "SOAP", SMALL, block=4)

    for number in range(8):
        assert forked(lambda seconds=0.01 + 0.012 * number: child(seconds)) in (0, -signal.SIGALRM)
    build_store(tmp_path / "s", source, "SOAP", SMALL, block=4)
    assert files(tmp_path / "s") == expected


def test_two_builds_at_once_make_one_store(undisturbed, tmp_path):
    source, expected = undisturbed
    pids = []
    for _ in range(2):
        if (pid := fork()) == 0:
            try:
                build_store(tmp_path / "s", source, "SOAP", SMALL, block=4)
            except BaseException:
                os._exit(3)
            os._exit(0)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    assert files(tmp_path / "s") == expected


def test_a_full_disk_is_told_and_loses_nothing(undisturbed, tmp_path):
    source, expected = undisturbed
    (largest,) = {len(text) for name, text in expected.items() if name.endswith(".npy")}
    build_store(tmp_path / "s", source, "SOAP", SMALL, block=4, limit=4)
    before = files(tmp_path / "s")

    def child():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 10, largest))
        build_store(tmp_path / "s", source)

    assert forked(child, tmp_path / "told") == 3
    assert "cannot be written" in (tmp_path / "told").read_text()
    assert "the same command goes on from there" in (tmp_path / "told").read_text()
    assert files(tmp_path / "s") == before
    build_store(tmp_path / "s", source)
    assert files(tmp_path / "s") == expected


def test_a_folder_that_cannot_be_written_to_is_told(undisturbed, tmp_path):
    source, _ = undisturbed
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        build_store(tmp_path / "file", source)

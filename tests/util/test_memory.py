"""The memory of the process: its peak, and what is left."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from atomprint.util.memory import available_memory, peak_memory


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_the_peak_is_that_of_the_kernel_and_does_not_fall():
    before = peak_memory()
    block = np.ones(40_000_000)  # 0.32 GB
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    current = int(status["VmRSS"].split()[0]) * 1024 / 1e9
    assert peak_memory() >= 0.99 * current > 0.32
    del block
    assert peak_memory() >= max(before, 0.99 * current)


@pytest.mark.parametrize(("platform", "expected"), [("linux", 1.024), ("darwin", 0.001)])
def test_units_differ_between_systems(monkeypatch, platform, expected):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=1_000_000))
    assert peak_memory() == pytest.approx(expected)


def test_without_the_module_it_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_memory() is None


def test_files_that_were_read_leave_a_container_its_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("atomprint.util.memory._GROUP", tmp_path)
    stat = "anon 300\nfile 650\nshmem 50\ninactive_anon 350\nactive_anon 0\ninactive_file 400\nactive_file 200\n"
    for name, text in (("max", "1000\n"), ("current", "990\n"), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text)
    assert available_memory() == 610
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() != 610

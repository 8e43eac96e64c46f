"""The peak memory of the process."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from atomprint.util.memory import peak_memory


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

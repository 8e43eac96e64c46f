"""A structure that kills its process costs only itself, and a process that is killed costs nothing."""

import os
import signal
import sys
import textwrap

import pytest
from ase.io import write

from atomprint.store import FeatureStore, build_store

from .test_build import SMALL, crystals, files

pytest.importorskip("pyarrow")

DEADLY = textwrap.dedent(
    """
    import os, signal
    import numpy as np
    from sklearn.base import BaseEstimator

    class Deadly(BaseEstimator):
        '''Number of atoms; what has silver in it kills.'''
        def __init__(self, how="SIGKILL"):
            self.how = how
        def fit(self, X, y=None):
            return self
        def __sklearn_is_fitted__(self):
            return True
        def transform(self, X):
            for atoms in X:
                if 47 in atoms.numbers:
                    if self.how == "memory":
                        raise MemoryError
                    os.kill(os.getpid(), getattr(signal, self.how))
            return np.array([[len(atoms)] for atoms in X], dtype=np.float32)
        def get_feature_names_out(self):
            return ["n_atoms"]
    """
)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "reason"), [("SIGSEGV", "SIGSEGV"), ("memory", "memory did not suffice")])
def test_poison_is_found_and_costs_only_itself(how, reason, tmp_path, monkeypatch):
    (tmp_path / "deadly_descriptor.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    given = crystals(12)
    given[2].numbers[0] = given[9].numbers[0] = 47
    write(tmp_path / "some.extxyz", given)
    arguments = (tmp_path / "s", tmp_path / "some.extxyz", "deadly_descriptor.Deadly", {"how": how})
    built = build_store(*arguments, block=8, executor="processes", max_failures=0.2)
    assert (built.n_rows, built.n_failed) == (10, 2)
    failed = FeatureStore.open(tmp_path / "s").failures().to_pylist()
    assert [(row["place"], row["failure"]) for row in failed] == [(2, "process"), (9, "process")]
    assert reason in failed[0]["reason"]
    sys.modules.pop("deadly_descriptor")


def test_processes_make_the_same_bytes_and_may_be_killed(tmp_path, monkeypatch):
    write(tmp_path / "some.extxyz", crystals(40))
    build_store(tmp_path / "threads", tmp_path / "some.extxyz", "SOAP", SMALL, block=8)
    from atomprint.store import processes

    ask, killed = processes._Worker.ask, []

    def ask_and_kill(self, task):
        if len(killed) < 2:
            killed.append(self._process.pid)
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, task)

    monkeypatch.setattr(processes._Worker, "ask", ask_and_kill)
    build_store(tmp_path / "s", tmp_path / "some.extxyz", "SOAP", SMALL, block=8, executor="processes")
    assert len(killed) == 2
    assert files(tmp_path / "s") == files(tmp_path / "threads")

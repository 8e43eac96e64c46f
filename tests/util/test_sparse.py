"""What is said of sparse arrays without SciPy's module of them."""

import sys
from types import ModuleType

import numpy as np

from atomprint.util import sparse


def test_another_thread_may_be_importing_it_meanwhile(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", ModuleType("scipy.sparse"))  # as it is then
    assert not sparse.issparse(np.zeros(3))
    monkeypatch.delitem(sys.modules, "scipy.sparse")
    assert not sparse.issparse(np.zeros(3))

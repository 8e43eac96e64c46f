"""Fixtures shared by all tests."""

# ruff: noqa: E402
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when NumPy is imported:
    os.environ.setdefault(_name, "1")  # the data of tests are small, and xdist runs as many tests as there are cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to the other tests
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0")

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.rocksalts import rocksalts  # noqa: F401
from hypothesis import HealthCheck, settings

from atomprint.testing import instruction_set, instruction_sets

# How long an example takes depends on the machine and on what else runs there.
settings.register_profile("atomprint", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("atomprint")


@contextmanager
def _skipped_where_a_package_is_missing() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        name = (error if isinstance(error, ModuleNotFoundError) else error.__cause__ or error).name
        if not name or PathFinder.find_spec(name.partition(".")[0]) is not None:
            raise
        pytest.skip(f"needs {name}, which is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Skip a test that needs an optional package which is missing, and no others."""
    with _skipped_where_a_package_is_missing():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip a test whose fixtures need such a package."""
    with _skipped_where_a_package_is_missing():
        return (yield)


@pytest.fixture(params=instruction_sets())
def each_instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once with the kernels of each instruction set that this machine has."""
    with instruction_set(request.param):
        yield request.param


@pytest.fixture
def molecules() -> list[Atoms]:
    return [molecule(name) for name in ("H2O", "NO2", "CO2", "CH3CH2OH")]


@pytest.fixture
def crystals() -> list[Atoms]:
    """Return small cells of two species, one of them triclinic with atoms outside the cell."""
    crystals = [
        bulk("NaCl", "rocksalt", 5.64),
        bulk("NaCl", "cesiumchloride", 3.4),
        bulk("NaCl", "zincblende", 5.9),
    ]
    skewed = crystals[2].copy()
    skewed.set_cell(skewed.cell.array + np.array([[0, 0.3, 0], [0.2, 0, 0.4], [0, 0, 0.5]]), scale_atoms=True)
    skewed.positions += [[11.0, -7.0, 3.0], [-9.0, 20.0, 1.0]]
    return [*crystals, skewed]


@pytest.fixture
def plots_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots of reports empty: most of the time of a report, where the test is not about them."""
    monkeypatch.setattr("atomprint.report.plots.style.svg", lambda figure: b"<svg/>")

"""Many structures on several threads, of which some are read while others are computed: nobody can tell."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from atomprint import _core
from atomprint.descriptors import ACSF, MBTR, CoulombMatrix, EwaldSumMatrix, SineMatrix
from atomprint.descriptors.engine import overlapped
from atomprint.structures import StructureError, as_batch
from atomprint.util.overlap import in_order

TERM = {
    "geometry": {"function": "inverse_distance"},
    "grid": {"min": 0, "max": 1, "n": 10, "sigma": 0.1},
    "weighting": {"function": "exp", "scale": 0.5, "threshold": 1e-3},
}
MOLECULES = [molecule(name) for name in ("H2O", "CH4", "NH3", "CO2", "C2H6")]
CRYSTALS = [bulk("NaCl", "rocksalt", a) for a in (5.5, 5.6, 5.7)]
CASES = {
    "sorted": (CoulombMatrix(n_atoms_max=8), MOLECULES),
    "spectrum": (CoulombMatrix(n_atoms_max=8, permutation="eigenspectrum", dtype="float32"), MOLECULES),
    "noise": (CoulombMatrix(n_atoms_max=8, permutation="random", sigma=0.1, seed=3), MOLECULES),
    "sparse": (CoulombMatrix(n_atoms_max=8, sparse=True), MOLECULES),
    "sine": (SineMatrix(n_atoms_max=2), CRYSTALS),
    "ewald": (EwaldSumMatrix(n_atoms_max=2), CRYSTALS),
    "mbtr": (MBTR(species=["H", "C", "N", "O"], **TERM), MOLECULES),
}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(overlapped, "_TOGETHER", 4)
    monkeypatch.setattr(overlapped, "_LONG", 16)


def many(structures, n=50):
    return [structures[i % len(structures)].copy() for i in range(n)]


def plain(array):
    return array.toarray() if hasattr(array, "toarray") else array


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers_on_any_number_of_threads(name, monkeypatch):
    descriptor, structures = CASES[name]
    items, used = many(structures), []
    monkeypatch.setattr(overlapped, "in_order", lambda *args: used.append(args) or in_order(*args))
    wanted = plain(descriptor.create(items))
    for n_jobs in (2, 3):
        for given in (items, tuple(items), as_batch(items, periodic=None)):
            np.testing.assert_array_equal(plain(descriptor.create(given, n_jobs=n_jobs)), wanted)
    assert len(used) == (0 if name in ("noise", "sparse") else 4)


def test_values_for_each_structure():
    items = many(CRYSTALS)
    descriptor = EwaldSumMatrix(n_atoms_max=2)
    for accuracy in (1e-3, np.geomspace(1e-3, 1e-6, 50)):
        wanted = descriptor.create(items, accuracy=accuracy)
        np.testing.assert_array_equal(descriptor.create(items, accuracy=accuracy, n_jobs=2), wanted)


def test_the_first_bad_structure_is_named():
    items = many(MOLECULES)
    items[41], items[23] = "nothing", Atoms("H", [[np.nan, 0, 0]])
    descriptor = CoulombMatrix(n_atoms_max=8)
    for structures in (items, [*items[:30], *many(MOLECULES)]):
        with pytest.raises(ValueError, match=r"structure 23|nothing") as plain_way:
            descriptor.create(structures)
        with pytest.raises(type(plain_way.value)) as caught:
            descriptor.create(structures, n_jobs=2)
        assert str(caught.value) == str(plain_way.value)
    with pytest.raises(StructureError, match="structure 23, atom 0: position must be finite"):
        descriptor.create(structures, n_jobs=2)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_are_those_of_all_together(n_jobs):
    items = many(MOLECULES)
    for i in (45, 12):
        items[i] = Atoms("H2", [[0, 0, 0], [0, 0, 0.4]])
    with pytest.warns(UserWarning, match=r"structure 12, atoms 0 and 1 .*; 2 structures have") as caught:
        CoulombMatrix(n_atoms_max=8).create(items, n_jobs=n_jobs)
    assert len(caught) == 1
    repeating = [*many(MOLECULES, 20), *many([bulk("C")], 20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # some do not repeat
        MBTR(species=["H", "C", "N", "O"], periodic=False, **TERM).create(repeating, n_jobs=n_jobs)
    with pytest.warns(UserWarning, match="all structures repeat"):
        MBTR(species=["C"], periodic=False, **TERM).create(many([bulk("C")]), n_jobs=n_jobs)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cotangents_of_many_structures_are_joined_on_any_number_of_threads(dtype):
    descriptor = ACSF(species=["H", "C", "N", "O"], r_cut=4.0, g2_params=[[1, 1], [2, 1]], dtype=dtype)
    items = many(MOLECULES, 40)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=rows.shape).astype(dtype) for rows in descriptor.create(items)]
    wanted = np.concatenate([descriptor.vjp(a, w).positions for a, w in zip(items, weights, strict=True)])
    usual, unusual = list(weights), list(weights)
    usual[3].setflags(write=False)
    unusual[0], unusual[1] = np.asfortranarray(weights[0]), weights[1].tolist()
    for n_jobs in (1, 3):
        for given in (usual, unusual):
            found = descriptor.vjp(items, given, n_jobs=n_jobs)
            np.testing.assert_array_equal(np.concatenate(found.positions), wanted)
    for wrong in (weights[:-1], [*weights[:-1], weights[-1][1:]], [*weights[:-1], weights[-1].astype(str)]):
        with pytest.raises((ValueError, TypeError), match="cotangents"):
            descriptor.vjp(items, wrong)


def test_large_arrays_are_joined_and_looked_at_in_parts():
    rng = np.random.default_rng(1)
    for dtype in (np.float64, np.float32):
        parts = [rng.normal(size=(n, 17)).astype(dtype) for n in (0, 20_000, 3, 0, 12_345, 1)]
        whole = np.concatenate(parts)
        for n_threads in (1, 3):
            out = np.full_like(whole, np.nan)
            assert not _core.all_finite(out.ravel(), n_threads)
            assert _core.join(parts, out, n_threads)
            np.testing.assert_array_equal(out, whole)
            assert _core.all_finite(out.ravel(), n_threads)
            for place in (0, 300_000, whole.size - 1):
                spoilt = whole.ravel().copy()
                spoilt[place] = np.inf
                assert not _core.all_finite(spoilt, n_threads)
        assert not _core.join([*parts, parts[1]], out, 2)
        assert not _core.join([*parts[:-1], parts[-1].astype(int)], out, 2)
        assert not _core.join([part[:, :16] for part in parts], out, 2)

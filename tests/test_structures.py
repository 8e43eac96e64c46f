"""Reading structures: every kind, and every way in which they can be wrong."""

import pickle
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.cell import Cell
from ase.io import write
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from atomprint import _core
from atomprint import structures as structures_module
from atomprint.descriptors import (
    ACSF,
    SOAP,
    CoulombMatrix,
    ElementProperty,
    LearnedEmbedding,
    NeighbourStatistics,
    OxidationStates,
)
from atomprint.graphs import NeighbourGraph
from atomprint.kernels import AverageKernel
from atomprint.neighbours import pairs
from atomprint.sampling import CenterSampler
from atomprint.structures import Batch, StructureError, as_batch, attempt, checked, counted_from, read_batch, reason_of


class Lattice:
    matrix = np.eye(3) * 4
    pbc = (True, True, False)


class Crystal:
    """What pymatgen's Structure looks like from outside."""

    cart_coords = np.array([[0.0, 0, 0], [1, 1, 1]])
    atomic_numbers = (11, 17)
    lattice = Lattice()
    is_ordered = True


def test_kinds_of_structures(tmp_path):
    water = molecule("H2O")
    write(tmp_path / "water.xyz", water)
    write(tmp_path / "two.extxyz", [water, molecule("CO2")])
    batch = as_batch([water, Crystal(), tmp_path / "water.xyz"], periodic=False)
    assert batch.offsets.tolist() == [0, 3, 5, 8]
    assert batch.numbers.tolist() == [8, 1, 1, 11, 17, 8, 1, 1]
    assert not batch.single
    assert as_batch(water, periodic=False).single
    assert len(as_batch(tmp_path / "two.extxyz", periodic=False)) == 2
    crystal = as_batch(Crystal())
    np.testing.assert_array_equal(crystal.cells[0], np.eye(3) * 4)
    assert crystal.pbc.tolist() == [[True, True, False]]
    column = np.empty(2, dtype=object)  # as in a pandas column
    column[0] = column[1] = water
    assert as_batch(column, periodic=False).n_atoms.tolist() == [3, 3]


def test_pymatgen(tmp_path):
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure.from_spacegroup("Fm-3m", core.Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    batch = as_batch(structure)
    np.testing.assert_allclose(batch.positions, structure.cart_coords)
    disordered = core.Structure(core.Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"structure 1 is disordered: site 0 is \{'.*Na.*': 0\.5"):
        as_batch([structure, disordered])
    rounded = core.Structure(core.Lattice.cubic(3), [{"Na": 0.9995}], [[0, 0, 0]])
    assert not rounded.is_ordered
    assert as_batch(rounded).numbers.tolist() == [11]  # with the tolerance of files


def test_arrays_and_slices():
    batch = Batch.from_arrays([8, 1, 1], molecule("H2O").positions)
    assert as_batch(batch, periodic=False).single
    both = as_batch([molecule("H2O"), molecule("CO2"), molecule("NO2")], periodic=False)
    part = both[1:]
    assert part.numbers.tolist() == [6, 8, 8, 7, 8, 8]
    assert part.offsets.tolist() == [0, 3, 6]
    assert both.locate(4) == (1, 1)
    with pytest.raises(ValueError, match="positions must have shape"):
        Batch.from_arrays([1], [[0, 0]])
    with pytest.raises(ValueError, match="step 1, got 2"):
        both[::2]


def test_batches_are_sequences_of_structures(crystals):
    batch = as_batch([*crystals, molecule("H2O")], periodic=None)
    assert batch[1] == crystals[1]
    assert batch[-1] == molecule("H2O")
    assert batch[np.int64(3)] == crystals[3]
    assert list(batch) == [*crystals, molecule("H2O")]
    batch[1].positions += 1.0  # the caller's own
    assert batch[1] == crystals[1]
    for wrong in (5, -6):
        with pytest.raises(IndexError, match=rf"structure must be in -5\.\.4, got {wrong}"):
            batch[wrong]
    with pytest.raises(TypeError):
        batch["1"]


@pytest.mark.parametrize(
    "order", [[3, 0], [4, 3, 2, 1, 0], [1, 1, -1], [0, 1, 2, 3, 4], [], [True, False, True, False, False]]
)
def test_pick_takes_structures_in_any_order(crystals, order):
    items = [*crystals, molecule("H2O")]
    picked = as_batch(items, periodic=None).pick(order)
    expected = [items[i] for i in np.arange(5)[np.array(order, dtype=type(order[0]) if order else int)]]
    assert list(picked) == expected
    if expected:
        for got, wanted in zip(picked.arrays(), as_batch(expected, periodic=None).arrays(), strict=True):
            np.testing.assert_array_equal(got, wanted)
    with pytest.raises(IndexError):
        as_batch(items, periodic=None).pick([5])


def test_numbers_are_never_cast_silently():
    for numbers, error, message in (
        (np.array([1.5, 1.5]), TypeError, "atomic numbers must be integers, got float64"),
        (np.array([1, 2**32 + 1]), ValueError, "structure 1, atom 1: atomic number must be in 1..118, got 4294967297"),
    ):
        atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]])
        atoms.arrays["numbers"] = numbers
        with pytest.raises(error, match=message):
            as_batch([molecule("H2O"), atoms], periodic=False)


@pytest.mark.parametrize("periodic", [False, True])
def test_unusual_arrays_are_read_the_slow_way(periodic):
    usual = [bulk("NaCl", "rocksalt", 5.64).repeat(2), bulk("Cu")]
    changes = (
        ("numbers", lambda z: z.astype(np.int32)),
        ("numbers", lambda z: z.astype(">i8")),
        ("numbers", list),
        ("positions", np.asfortranarray),
        ("positions", lambda r: r.astype(np.longdouble)),
    )
    expected = as_batch(usual, periodic=periodic)
    for name, change in changes:
        unusual = [atoms.copy() for atoms in usual]
        unusual[0].arrays[name] = change(unusual[0].arrays[name])
        batch = as_batch(unusual, periodic=periodic)
        for got, wanted in zip(batch.arrays(), expected.arrays(), strict=True):
            np.testing.assert_array_equal(got, wanted)
    lost = usual[0].copy()
    del lost.arrays["numbers"]
    with pytest.raises(KeyError, match="numbers"):
        as_batch(lost)


class Wire(Atoms):
    """Atoms whose properties give something else than what is stored."""

    cell = Atoms.cell.getter(lambda atoms: Cell(2 * atoms._cellobj.array))
    pbc = Atoms.pbc.getter(lambda atoms: np.array([True, False, False]))


def test_atoms_are_read_by_what_their_class_says():
    usual = [bulk("NaCl", "rocksalt", 5.64).repeat(2), bulk("Cu"), molecule("H2O")]
    stored = [pickle.loads(pickle.dumps(atoms)) for atoms in usual]  # each has types of its arrays of its own
    wire = bulk("Fe")
    wire.__class__ = Wire
    batch = as_batch([*usual, wire, *stored, *usual], periodic=None)
    for i, atoms in enumerate([*usual, None, *usual, *usual]):
        assert atoms is None or batch[i] == atoms
    np.testing.assert_array_equal(batch.cells[3], 2 * bulk("Fe").cell.array)
    assert batch.pbc[3].tolist() == [True, False, False]


def test_a_batch_is_checked_once_for_each_question(monkeypatch):
    asked = []
    inspect = structures_module._core.inspect_batch
    core = SimpleNamespace(
        inspect_batch=lambda batch, need_cell, *rest: asked.append(need_cell) or inspect(batch, need_cell, *rest),
        Problem=structures_module._core.Problem,
        Batch=structures_module._core.Batch,
    )
    crystals = as_batch([bulk("Cu"), bulk("NaCl", "rocksalt", 5.64)])
    mixed = as_batch([bulk("Cu"), molecule("H2O")], periodic=None)
    monkeypatch.setattr(structures_module, "_core", core)
    for periodic in (True, None, True, None):
        assert as_batch(crystals, periodic=periodic) is crystals
        assert as_batch(crystals[1:], periodic=periodic).numbers.tolist() == [11, 17]
        assert as_batch(crystals.pick([1, 0]), periodic=periodic).numbers.tolist() == [11, 17, 29]
    assert not asked
    for _ in range(2):
        bare = as_batch(crystals, periodic=False)
        assert not bare.pbc.any()
        assert not bare.cells.any()
        with pytest.raises(StructureError, match="structure 0: a periodic descriptor needs a cell"):
            as_batch(bare, periodic=True)
        with pytest.raises(StructureError, match="structure 1: a periodic descriptor needs a cell"):
            as_batch(mixed, periodic=True)
    assert asked == [False, True, True, True, True]
    for copy in (pickle.loads(pickle.dumps(crystals)), Batch(*(array.copy() for array in crystals._fields()))):
        as_batch(copy)
        copy.positions[0] = np.nan  # nobody knows of it
        with pytest.raises(StructureError, match="structure 0, atom 0: position must be finite"):
            as_batch(copy)


def test_batches_are_saved_and_mapped(tmp_path, crystals):
    path = tmp_path / "batch.npz"
    for items in ([*crystals, molecule("H2O")], molecule("CO2")):
        batch = as_batch(items, periodic=None)
        batch.save(path)
        for mmap in (True, False):
            loaded = Batch.load(path, mmap=mmap)
            assert not loaded.single
            assert list(loaded) == list(batch)
            for got, wanted in zip(loaded.arrays(), batch.arrays(), strict=True):
                assert got.dtype == wanted.dtype
                assert got.flags.aligned
                assert not got.flags.writeable
                np.testing.assert_array_equal(got, wanted)
            assert as_batch(loaded, periodic=None) is loaded
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["positions"], batch.positions)
    before = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == before
    Batch(
        *(
            np.zeros((n, *shape), d)
            for n, shape, d in ((0, (), "i4"), (0, (3,), "f8"), (1, (), "i8"), (0, (3, 3), "f8"), (0, (3,), "?"))
        )
    ).save(path)
    assert len(Batch.load(path)) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["batch.npz"]


def test_a_batch_stands_for_its_structures_everywhere(tmp_path):
    items = [molecule(name) for name in ("H2O", "CH4", "NH3", "CO2", "C2H6", "CH3OH")]
    as_batch(items, periodic=None).save(tmp_path / "batch.npz")
    batch, y = Batch.load(tmp_path / "batch.npz"), np.arange(6.0)
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=4.0, n_max=2, l_max=1)
    channels = SOAP(4.0, 2, 1, average="outer", species_embedding=LearnedEmbedding(2))
    ways = {
        "create": soap.create,
        "fit": lambda X: SOAP(4.0, 2, 1, pooling=["mean", "std"]).fit_transform(X),
        "vjp": lambda X: soap.vjp(X, soap.create(items)).positions,
        "derivatives": lambda X: soap.derivatives(X, wrt="strain")[0],
        "kernel": lambda X: AverageKernel(metric="linear").create(soap.transform(X)),
        "stream": lambda X: np.concatenate(list(CoulombMatrix(8).iter_create(X, chunk=2))),
        "sampler": CenterSampler("farthest", n=2),
        "centres": lambda X: SOAP(4.0, 2, 1, species=[1, 6, 7, 8], centers=CenterSampler("farthest", n=2)).create(X),
        "learnt": lambda X: channels.fit(X, y).transform(X),
        "pairs": lambda X: pairs(X, 3.0).distances,
        "graph": lambda X: NeighbourGraph(r_cut=3.0).create(X).edges,
        "neighbours": NeighbourStatistics(species=["H", "C", "N", "O"]).create,
        "elements": lambda X: ElementProperty().fit(X).transform(X),
        "states": lambda X: OxidationStates().fit(X).transform(X),
        "model": lambda X: make_pipeline(CoulombMatrix(8), Ridge()).fit(X, y).predict(X),
        "folds": lambda X: cross_val_predict(make_pipeline(CoulombMatrix(8), Ridge()), X, y, cv=3),
    }
    for name, way in ways.items():
        got, wanted = way(batch), way(items)
        assert len(got) == len(wanted), name
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_files_of_others_and_damaged_ones_are_told(tmp_path):
    path, good = tmp_path / "batch.npz", as_batch([molecule("H2O"), molecule("CO2")], periodic=None)
    arrays = {name: getattr(good, name) for name in ("numbers", "positions", "offsets", "cells", "pbc")}
    np.savez(path, **arrays)  # by NumPy, and not aligned
    assert list(Batch.load(path)) == list(good)
    with pytest.raises(FileNotFoundError):
        Batch.load(tmp_path / "none.npz")
    for change, message in (
        ({"numbers": good.numbers.astype(float)}, "array 'numbers': its type must be int32, got float64"),
        ({"numbers": np.array([8, None, 1])}, "array 'numbers': its type must be int32, got object"),
        ({"positions": np.asfortranarray(np.ones((6, 3)))}, r"shape \(6, 3\) does not fit"),
        ({"positions": np.ones((5, 3))}, "6 numbers and 2 structures need as many positions"),
        ({"offsets": np.array([0, 7, 6])}, "offsets must ascend from 0"),
        ({"offsets": np.array([0, 2**62, 6])}, "offsets must ascend from 0"),
        ({"cells": np.ones((2, 9))}, r"cells must be contiguous with shape \(n, 3, 3\)"),
    ):
        np.savez(path, **arrays | change)
        with pytest.raises(ValueError, match=rf"batch.npz' is damaged.*{message}"):
            Batch.load(path)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "pbc"})
    with pytest.raises(ValueError, match=r"array 'pbc': there is none among 'cells\.npy', 'numbers\.npy'"):
        Batch.load(path)
    np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match="array 'numbers': it is compressed or encrypted"):
        Batch.load(path)
    for text in (b"", b"no archive"):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"is no \.npz file, or damaged"):
            Batch.load(path)
    good.save(path)
    whole = bytearray(path.read_bytes())
    place = whole.index(good.positions.tobytes())
    whole[place] ^= 1
    path.write_bytes(whole)
    assert len(Batch.load(path)) == 2  # as sums of what may be larger than the memory are not looked at
    with pytest.raises(ValueError, match="array 'positions': what is in it does not fit its checksum"):
        Batch.load(path, mmap=False)


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_files_are_refused_or_read_and_never_crash(tmp_path, seed):
    rng, path = np.random.default_rng(seed), tmp_path / "batch.npz"
    as_batch([molecule("H2O"), bulk("NaCl", "rocksalt", 5.64)], periodic=None).save(path)
    whole, descriptor = path.read_bytes(), ACSF(species=["H", "O", "Na", "Cl"], r_cut=3.0, g2_params=[[1, 1]])
    for _ in range(100):
        spoilt = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            spoilt[rng.integers(len(spoilt))] = rng.integers(256)
        path.write_bytes(spoilt[: rng.integers(len(spoilt))] if rng.random() < 0.2 else spoilt)
        with suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            descriptor.create(Batch.load(path))


def test_broken_batches():
    good = as_batch(molecule("H2O"), periodic=False)
    arrays = {name: getattr(good, name) for name in ("numbers", "positions", "offsets", "cells", "pbc")}
    for change, error, message in (
        ({"numbers": [8, 1, 1]}, TypeError, "numbers must be an array of int32, got list"),
        ({"numbers": np.array([8.0, 1, 1])}, TypeError, "numbers must be an array of int32, got float64"),
        ({"positions": np.zeros((3, 4))}, ValueError, r"positions must be contiguous with shape \(n, 3\)"),
        (
            {"positions": np.zeros(73, np.uint8)[1:].view(np.float64).reshape(3, 3)},
            ValueError,
            r"positions must be aligned in memory with shape \(n, 3\)",
        ),
        ({"offsets": np.array([], dtype=np.int64)}, ValueError, "offsets must ascend from 0"),
        ({"offsets": np.array([0, 2], dtype=np.int64)}, ValueError, "offsets must ascend from 0"),
        ({"cells": np.zeros((2, 3, 3))}, ValueError, "need as many positions and cells and pbc"),
    ):
        with pytest.raises(error, match=message):
            Batch(**arrays | change)


def test_caller_is_not_changed():
    atoms = bulk("NaCl", "rocksalt", 5.64)
    before = atoms.copy()
    batch = as_batch(atoms)
    for array in batch.arrays():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        assert not any(np.shares_memory(array, own) for own in (*atoms.arrays.values(), atoms.cell.array, atoms.pbc))
    assert atoms == before


def broken(**changes):
    atoms = bulk("NaCl", "rocksalt", 5.64)
    for name, value in changes.items():
        atoms.arrays[name][1] = value
    return atoms


@pytest.mark.parametrize(
    ("structures", "error", "message"),
    [
        ([], ValueError, "structures must hold at least one structure, got an empty list"),
        (Atoms(), ValueError, "structure 0 must have at least one atom"),
        ([bulk("Cu"), Atoms()], ValueError, "structure 1 must have at least one atom"),
        (
            [bulk("Cu"), broken(positions=np.nan)],
            ValueError,
            r"structure 1, atom 1: position must be finite and within 1e7 Å, got \[nan",
        ),
        (
            broken(positions=[0, np.inf, 0]),
            ValueError,
            "structure 0, atom 1: position must be finite and within 1e7 Å, got",
        ),
        (broken(numbers=0), ValueError, "structure 0, atom 1: atomic number must be in 1..118, got 0"),
        (molecule("H2O"), ValueError, "structure 0: a periodic descriptor needs a cell, got none"),
        (Atoms("H", cell=[4, 4, 0], pbc=True), ValueError, "structure 0: cell must have a non-zero volume"),
        (
            Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True),
            ValueError,
            "cell must have a non-zero volume",
        ),
        (Atoms("H", cell=[np.nan, 4, 4], pbc=True), ValueError, "structure 0: cell must be finite"),
        ({"a": bulk("Cu")}, TypeError, "structures must be a sequence, got a dict"),
        ("H2O", ValueError, "'H2O' is neither a structure nor the name of a file"),
        (Path("nowhere.xyz"), FileNotFoundError, "no such file: 'nowhere.xyz'"),
        (__file__, ValueError, "ASE cannot read"),
        (3, TypeError, "structures must be an ase.Atoms, .* got int"),
        ([bulk("Cu"), "H2O.cif "], ValueError, "'H2O.cif ' is neither a structure nor"),
        ([bulk("Cu"), 3.5], TypeError, "structure 1 must be an ase.Atoms, .* got float"),
        (
            [SimpleNamespace(cart_coords=np.zeros((1, 3)), atomic_numbers=[1], is_ordered=False)],
            ValueError,
            "disordered",
        ),
    ],
)
def test_bad_structures(structures, error, message):
    with pytest.raises(error, match=message):
        as_batch(structures)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_the_first_problem_is_named_and_all_close_atoms_are_counted(n_threads):
    close = Atoms("H2", [[0, 0, 0], [0, 0, 0.4]])
    structures = [molecule("H2O")] * 1000
    for i in (150, 3, 999):
        structures[i] = close
    batch = read_batch(structures)
    told = []
    assert checked(batch, None, warn=told.append, n_threads=n_threads) is batch
    (one,) = told
    assert one.startswith("structure 3, atoms 0 and 1 are 0.4 ")
    assert one.endswith("; 3 structures have such atoms")
    batch = pickle.loads(pickle.dumps(batch))
    for i in (900, 321, 320):
        batch.positions[batch.offsets[i]] = np.nan
    with pytest.raises(StructureError, match="structure 320, atom 0: position must be finite"):
        checked(batch, None, n_threads=n_threads)


def test_coincident_atoms_are_named():
    atoms = molecule("CH4")
    atoms.positions[3] = atoms.positions[1] + 1e-7
    with pytest.raises(ValueError, match=r"structure 1, atoms 1 and 3: atoms must not coincide \(1.7e-07 Å apart\)"):
        as_batch([molecule("H2O"), atoms], periodic=False)


@pytest.mark.parametrize("repeat", [1, 5])
def test_coincident_across_the_boundary(repeat):
    # Once with few atoms (all pairs) and once with many (neighbour search).
    atoms = bulk("NaCl", "rocksalt", 5.64).repeat(repeat)
    atoms += Atoms("Na", positions=[3 * atoms.cell[0] - 2 * atoms.cell[1] + atoms.cell[2] + atoms.positions[0]])
    with pytest.raises(ValueError, match=f"structure 0, atoms 0 and {len(atoms) - 1}: atoms must not coincide"):
        as_batch(atoms)
    atoms.pbc = False
    assert len(as_batch(atoms).numbers) == len(atoms)


def test_errors_know_their_structure():
    with pytest.raises(StructureError) as caught:
        as_batch([bulk("Cu"), Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]])], periodic=False)
    error = caught.value
    assert (error.index, error.atom) == (1, 1)
    assert error.reason.startswith("atom 1: position must be finite")
    assert str(error) == f"structure 1, {error.reason}"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    with pytest.raises(StructureError, match="structure 11, atom 1: position"), counted_from(10):
        raise again
    with pytest.raises(TypeError, match=r"structures: structure 1 must be an ase\.Atoms") as caught:
        as_batch([bulk("Cu"), 3])
    assert isinstance(caught.value, StructureError)
    assert caught.value.index == 1


@pytest.mark.parametrize("bad", [[], [3], [0], [9], [0, 1, 9], range(10)])
@pytest.mark.parametrize("known", [True, False])
def test_what_structures_are_to_blame(bad, known):
    computed = []

    def compute(run):
        if wrong := [i for i in run if i in bad]:
            raise StructureError(run.index(wrong[0]), None, f"bad {wrong[0]}") if known else TypeError("no")
        computed.extend(run)
        return list(run)

    found = attempt(range(10), compute, lambda i, error: (i, reason_of(error)))
    flat = [i for part in found for i in ([part[0]] if isinstance(part, tuple) else part)]
    assert flat == list(range(10))
    assert computed == [i for i in range(10) if i not in bad]  # each of them once
    assert [part for part in found if isinstance(part, tuple)] == [(i, f"bad {i}" if known else "no") for i in bad]


@pytest.mark.parametrize("pbc", [True, (True, False, False), (False, True, True)])
def test_positions_that_integers_cannot_count_lattice_vectors_to(pbc):
    atoms = Atoms("Na2", [[0, 0, 0], [9e6, 9e6, 9e6]], cell=[0.02, 0.02, 0.02], pbc=pbc)
    with pytest.raises(StructureError, match=r"structure 1, atom 1: position must be within 2.5e8 lattice vectors"):
        as_batch([bulk("Na"), atoms], periodic=None)
    assert len(as_batch(Atoms("Na2", [[0, 0, 0], [9e6, 9e6, 9e6]], cell=[0.02, 0.02, 0.02]), periodic=None)) == 1


def test_centres_that_integers_cannot_count_lattice_vectors_to():
    wire = Atoms("Na", cell=[0.02, 5, 5], pbc=(True, False, False))
    acsf = ACSF(0.05, species=["Na"], periodic=True)
    with pytest.raises(StructureError, match=r"structure 1: centres must be within 2.5e8 lattice vectors of the cell"):
        acsf.create([bulk("Na"), wire], centers=[None, [[9e6, 0, 0]]])
    near = acsf.create(wire, centers=[[1e6, 0, 0]])
    np.testing.assert_allclose(near, acsf.create(wire, centers=[[0.0, 0, 0]]), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 17, 40])
def test_what_is_not_finite_is_found_wherever_it_is(dtype, n):
    limits = np.finfo(dtype)
    for value in (0.0, limits.max, limits.min, limits.smallest_subnormal):
        numbers = np.full(n, value, dtype=dtype)
        assert _core.all_finite(numbers)
        for k in range(n):
            for wrong in (np.inf, -np.inf, np.nan, -np.nan):
                spoilt = numbers.copy()
                spoilt[k] = wrong
                assert not _core.all_finite(spoilt)

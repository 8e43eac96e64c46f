"""A store is what an undisturbed run makes, however it came about."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from atomprint.descriptors import SOAP
from atomprint.store import FeatureStore, TooManyFailuresError, build_store

pytest.importorskip("pyarrow")
SMALL = {"r_cut": 3.5, "n_max": 2, "l_max": 1}


def crystals(n, seed=0):
    """Return small rock salts and metals, no two the same."""
    rng = np.random.default_rng(seed)
    pairs = [("Na", "Cl"), ("Mg", "O"), ("Li", "F")]
    made = []
    for number in range(n):
        first, second = pairs[number % 3]
        atoms = bulk(first + second, "rocksalt", a=4.5 + 0.01 * number)
        atoms.rattle(0.02, rng=rng)
        atoms.info = {"gap": 0.1 * number, "name": f"c{number}", "stable": bool(number % 2)}
        made.append(atoms)
    return made


@pytest.fixture
def source(tmp_path):
    """Return a file of 50 crystals."""
    path = tmp_path / "crystals.extxyz"
    write(path, crystals(50))
    return path


def files(store):
    """Return all files of a store with their bytes."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_rows_are_what_the_descriptor_makes(source, tmp_path):
    built = build_store(tmp_path / "s", source, "SOAP", SMALL, id="name", block=16)
    assert (built.n_rows, built.n_failed, built.n_kept) == (50, 0, 0)
    store = FeatureStore.open(tmp_path / "s")
    given = crystals(50)
    species = ["Li", "O", "F", "Na", "Mg", "Cl"]
    soap = SOAP(**SMALL, species=species, periodic=True, pooling="mean", dtype="float32")
    assert store.features().dtype == np.float32
    np.testing.assert_allclose(store.features(), soap.create(given), rtol=1e-5, atol=1e-6)
    assert store.names == tuple(soap.get_feature_names_out())
    assert list(store.ids) == [f"c{number}" for number in range(50)]
    table = store.table(["gap", "stable", "n_atoms", "formula", "source", "place"], [49, 0, 17])
    np.testing.assert_allclose(table.column("gap").to_numpy(), [4.9, 0, 1.7])
    assert table.column("stable").to_pylist() == [1, 0, 1]
    assert table.column("formula").to_pylist() == ["MgO", "NaCl", "LiF"]
    assert table.column("place").to_pylist() == [49, 0, 17]
    for row in (0, 16, 49):
        atoms = store.structures([row])[0]
        assert atoms.numbers.tolist() == given[row].numbers.tolist()
        np.testing.assert_allclose(atoms.positions, given[row].positions, atol=1e-7)
        np.testing.assert_allclose(atoms.cell.array, given[row].cell.array, atol=1e-7)
        assert atoms.pbc.all()
    assert [len(block) for block in store.blocks()] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate([block.features for block in store.blocks(7)]), store.features())
    np.testing.assert_array_equal(store.features([40, 3, 3, -1]), store.features()[[40, 3, 3, -1]])


def test_the_same_build_again_makes_the_same_bytes_and_no_work(source, tmp_path):
    for name, n_jobs in (("one", 1), ("two", 3)):
        build_store(tmp_path / name, source, "SOAP", SMALL, block=16, n_jobs=n_jobs)
    before = files(tmp_path / "one")
    assert before == files(tmp_path / "two")
    again = build_store(tmp_path / "one", source)
    assert again.n_kept == again.n_rows == 50
    assert files(tmp_path / "one") == before


def test_what_is_missing_or_damaged_is_made_again(source, tmp_path):
    store = tmp_path / "s"
    build_store(store, source, "SOAP", SMALL, block=16)
    before = files(store)
    first, second, third, _ = sorted((store / "shards").iterdir())
    shutil.rmtree(first)
    spoilt = bytearray((second / "features.npy").read_bytes())
    spoilt[-5] ^= 1
    (second / "features.npy").write_bytes(spoilt)
    (third / "shard.json").write_text("{")
    (store / ".partial-left").mkdir()
    found = FeatureStore.open(store).verify()
    assert set(found) == {second.name, third.name}
    assert "checksum" in found[second.name]
    build_store(store, source)
    assert files(store) == before
    assert FeatureStore.open(store).verify() == {}


def test_other_parameters_are_named(source, tmp_path):
    build_store(tmp_path / "s", source, "SOAP", SMALL, block=16)
    for arguments, what in (
        ({"parameters": {"r_cut": 4.0}}, "r_cut is 3.5, not 4\\."),
        ({"descriptor": "ACSF"}, "descriptor is SOAP, not ACSF"),
        ({"block": 17}, "block is 16, not 17"),
        ({"allow_close": True}, "allow_close is False, not True"),
        ({"species": ["Na", "Cl"]}, "species are Li, O, F, Na, Mg, Cl, not Na, Cl"),
    ):
        with pytest.raises(ValueError, match=what):
            build_store(tmp_path / "s", source, **arguments)


def test_failures_are_rows_with_reasons(tmp_path):
    given = crystals(30)
    given[3] = Atoms("NaCl", [[0, 0, 0], [0, 0, 0.1]], cell=[5, 5, 5], pbc=True)
    given[7] = bulk("Ag")
    write(tmp_path / "some.extxyz", given)
    built = build_store(
        tmp_path / "s", tmp_path / "some.extxyz", "SOAP", SMALL, species=["Na", "Cl", "Mg", "O", "Li", "F"]
    )
    assert (built.n_rows, built.n_failed) == (28, 2)
    store = FeatureStore.open(tmp_path / "s")
    found = store.failures().to_pylist()
    assert [row["place"] for row in found] == [3, 7]
    assert [row["failure"] for row in found] == ["structure", "features"]
    assert "0.1 Å apart" in found[0]["reason"]
    assert "species must be one of" in found[1]["reason"]
    assert "got Ag" in found[1]["reason"]
    assert len(store) == 28
    assert store.table(["place"]).column("place").to_pylist() == [p for p in range(30) if p not in (3, 7)]


def test_too_many_failures_stop(tmp_path):
    given = [atoms if number % 2 else bulk("Ag") for number, atoms in enumerate(crystals(100))]
    write(tmp_path / "some.extxyz", given)
    kwargs = {"species": ["Na", "Cl", "Mg", "O", "Li", "F"], "block": 16}
    with pytest.raises(TooManyFailuresError, match=r"24 rows of the first 48 failed.*species must be"):
        build_store(tmp_path / "s", tmp_path / "some.extxyz", "SOAP", SMALL, **kwargs)
    assert len(FeatureStore.open(tmp_path / "s")) == 24
    assert build_store(tmp_path / "s", tmp_path / "some.extxyz", max_failures=0.6).n_failed == 50


def test_rows_of_more_files_are_added(source, tmp_path):
    build_store(tmp_path / "s", source, "SOAP", SMALL, block=16)
    write(tmp_path / "a.extxyz", crystals(5, seed=1))
    build_store(tmp_path / "s", [tmp_path / "a.extxyz", source])
    store = FeatureStore.open(tmp_path / "s")
    assert store.info.sources == {"a.extxyz": (5, 0), "crystals.extxyz": (50, 0)}
    assert store.ids[0] == "a:0"


def test_jobs_of_an_array_make_the_same_store(source, tmp_path):
    build_store(tmp_path / "one", source, "SOAP", SMALL, block=8)
    for job in (3, 1, 2):
        build_store(tmp_path / "array", source, "SOAP", SMALL, block=8, array=(job, 3))
    assert files(tmp_path / "array") == files(tmp_path / "one")


def test_formulas_and_sparse_features(tmp_path):
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,5\nMgO,7.8\nnonsense,1\nFe2O3,2\n")
    build_store(tmp_path / "f", tmp_path / "t.csv", "CompositionChannels")
    store = FeatureStore.open(tmp_path / "f")
    assert store.features().shape == (3, 5)
    assert store.failures().to_pylist()[0]["failure"] == "formula"
    with pytest.raises(ValueError, match="no structures"):
        store.structures()
    write(tmp_path / "c.extxyz", crystals(20))
    build_store(tmp_path / "x", tmp_path / "c.extxyz", "SOAP", {**SMALL, "sparse": True}, block=8)
    build_store(tmp_path / "d", tmp_path / "c.extxyz", "SOAP", SMALL, block=8)
    sparse, dense = (FeatureStore.open(tmp_path / name) for name in "xd")
    np.testing.assert_array_equal(sparse.features([3, 19, 0]).toarray(), dense.features([3, 19, 0]))


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("gap > 4.75", [48, 49]),
        ("'Li' in elements and gap <= 0.9", [2, 5, 8]),
        ("not ('Li' in elements) and gap < 0.35", [0, 1, 3]),
        ("formula == 'ClNa' and 0.2 < gap < 0.7", [3, 6]),
        ("place in [3, 4] or `gap` == 0", [0, 3, 4]),
        ("'L' in elements", "symbols"),
        ("gap > 'a'", "a word"),
        ("gapp > 1", "did you mean 'gap'|gap"),
        ("__import__('os')", "in it"),
        ("gap >", "cannot be read"),
    ],
)
def test_conditions(condition, rows, source, tmp_path):
    build_store(tmp_path / "s", source, "SOAP", SMALL)
    store = FeatureStore.open(tmp_path / "s")
    if isinstance(rows, str):
        with pytest.raises(ValueError, match=rows):
            store.where(condition)
    else:
        assert store.where(condition).tolist() == rows


def test_no_store_and_other_folders_are_told(source, tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        FeatureStore.open(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(FileExistsError, match="no store"):
        build_store(tmp_path / "other", source)
    build_store(tmp_path / "s", source, "SOAP", SMALL)
    table = json.loads((tmp_path / "s" / "store.json").read_text())
    (tmp_path / "s" / "store.json").write_text(json.dumps({**table, "format_version": 99}))
    with pytest.raises(ValueError, match="format 99"):
        FeatureStore.open(tmp_path / "s")
    (Path(tmp_path) / "s" / "store.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        FeatureStore.open(tmp_path / "s")

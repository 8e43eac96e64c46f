"""What a store is written to holds what the store holds; sources that are large are read some rows at a time."""

import tarfile
import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from atomprint.formats import folders, members
from atomprint.store import FeatureStore, build_store

from .test_build import SMALL, crystals

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("ending", [".parquet", ".zarr"])
def test_files_of_other_programs(ending, tmp_path):
    write(tmp_path / "some.extxyz", crystals(10))
    build_store(tmp_path / "s", tmp_path / "some.extxyz", "SOAP", SMALL, block=4, id="name")
    store = FeatureStore.open(tmp_path / "s")
    path = tmp_path / f"out{ending}"
    if ending == ".zarr":
        zarr = pytest.importorskip("zarr")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on types of text that are not in its specification yet
            assert store.export(path, where="gap > 0.15") == 8
            group = zarr.open_group(str(path), mode="r")
            features, gaps, ids = group["features"][:], group["gap"][:], list(group["id"][:])
    else:
        assert store.export(path, where="gap > 0.15") == 8
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        features = np.column_stack([table.column(name).to_numpy() for name in store.names])
        gaps, ids = table.column("gap").to_numpy(), table.column("id").to_pylist()
    assert np.array_equal(features, store.features(range(2, 10)))
    np.testing.assert_allclose(gaps, np.arange(2, 10) / 10)
    assert ids == [f"c{number}" for number in range(2, 10)]


def test_databases_are_read_some_rows_at_a_time(tmp_path, monkeypatch):
    from ase.db import connect

    monkeypatch.setattr(folders, "_AT_ONCE", 3)
    with connect(tmp_path / "some.db") as database:
        for number in range(8):
            database.write(bulk("Cu", a=3.6 + 0.01 * number), gap=float(number))
    with connect(tmp_path / "some.db") as database:
        database.delete([4, 5, 6])
    build_store(tmp_path / "s", tmp_path / "some.db", "SOAP", SMALL)
    assert FeatureStore.open(tmp_path / "s").table(["id", "gap"]).to_pydict() == {
        "id": ["1", "2", "3", "7", "8"],
        "gap": [0, 1, 2, 6, 7],
    }


def test_contents_of_archives_wait_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "_IN_MEMORY", 1000)
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as archive:
        for number, atoms in enumerate(crystals(6)):
            write(tmp_path / f"c{number}.cif", atoms)
            archive.add(tmp_path / f"c{number}.cif", f"c{number}.cif")
    build_store(tmp_path / "s", tmp_path / "some.tar.gz", "SOAP", SMALL)
    assert list(FeatureStore.open(tmp_path / "s").ids) == [f"c{number}" for number in range(6)]


@pytest.fixture
def of_words(tmp_path):
    """Return a store with a column of numbers in one shard and of words in another, and columns with names of files."""
    frames = [bulk("NaCl", "rocksalt", a) for a in np.linspace(5.4, 5.8, 12)]
    for number, atoms in enumerate(frames):
        atoms.info = {"batch": "pilot" if number == 11 else 20230115 + number, "features": number, "names": -number}
    write(tmp_path / "frames.extxyz", frames)
    asked = {"species": ["Na", "Cl"], "r_cut": 4.0, "n_max": 2, "l_max": 1}
    targets = ["batch", "features", "names"]
    build_store(tmp_path / "store", tmp_path / "frames.extxyz", "SOAP", asked, targets=targets, block=16)
    build_store(tmp_path / "small", tmp_path / "frames.extxyz", "SOAP", asked, targets=targets, block=6)
    return FeatureStore.open(tmp_path / "store"), FeatureStore.open(tmp_path / "small")


def test_numbers_among_words_are_words_to_the_last_digit(of_words, tmp_path):
    labels = [*(str(20230115 + number) for number in range(11)), "pilot"]
    for place, store in enumerate(of_words):
        assert sorted(store.table(["batch"]).column("batch").to_pylist()) == labels
        store.export(tmp_path / f"{place}.parquet")
        parquet = pytest.importorskip("pyarrow.parquet")
        assert sorted(parquet.read_table(tmp_path / f"{place}.parquet").column("batch").to_pylist()) == labels


@pytest.mark.parametrize("ending", [".npz", ".zarr"])
def test_columns_do_not_take_the_place_of_features(ending, of_words, tmp_path):
    path = tmp_path / f"out{ending}"
    if ending == ".zarr":
        zarr = pytest.importorskip("zarr")
    of_words[0].export(path)
    found = np.load(path) if ending == ".npz" else zarr.open_group(str(path), mode="r")
    assert found["features"].shape == (12, of_words[0].n_features)
    assert sorted(found["target features"][:].tolist()) == list(range(12))
    assert sorted(found["target names"][:].tolist()) == list(range(-11, 1))

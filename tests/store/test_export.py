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

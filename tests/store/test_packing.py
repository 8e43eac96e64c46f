"""Structures come out as they went in, to the last bit."""

import io

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st

from atomprint.store.packing import packed, unpacked
from atomprint.structures import Batch, as_batch

pa = pytest.importorskip("pyarrow")


def same(one, other):
    return all(
        np.array_equal(a.view(np.uint8), b.view(np.uint8)) for a, b in zip(one.arrays(), other.arrays(), strict=True)
    )


def test_crystals_molecules_and_slabs_come_back():
    rng = np.random.default_rng(0)
    rattled = bulk("NaCl", "rocksalt", 5.6).repeat(2)
    rattled.rattle(0.3, rng=rng)
    given = [
        bulk("Cu"),
        rattled,
        molecule("CH3CH2OH"),
        Atoms("Fe2", [[-1e5, 0.0, -0.0], [3e-310, 1e6, 7.25]]),
        Atoms("H", [[1, 2, 3]], cell=[[9, 0, 0], [0, 8, 0], [0, 0, 0]], pbc=[True, True, False]),
        Atoms("O2", [[1, 2, 3], [1e7, -1e7, 2]], cell=np.eye(3) * 1e-2, pbc=False),
    ]
    batch = as_batch(given, periodic=None)
    back = unpacked(pa.table(packed(batch, 2)).slice(0, len(given)))
    assert same(back, batch)
    picked = unpacked(pa.table(packed(batch, 0)).take([4, 1, 1]))
    assert same(picked, batch.pick([4, 1, 1]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6), st.lists(st.floats(-50, 50), min_size=9, max_size=9))
def test_any_numbers_come_back(positions, cell):
    batch = Batch.from_arrays([1, 8], np.array(positions).reshape(2, 3), np.array(cell).reshape(3, 3), True)
    assert same(unpacked(pa.table(packed(batch, 0))), batch)


def test_crystals_take_little_room():
    parquet = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    given = []
    for _ in range(200):
        cell = rng.uniform(-1, 1, (3, 3)) + 6 * np.eye(3)
        fractions = np.round(rng.uniform(0, 1, (10, 3)), 8)
        given.append(Atoms("Fe10", cell=cell, scaled_positions=np.vstack([fractions[:5], 1 - fractions[:5]]), pbc=True))
    columns = packed(as_batch(given, periodic=None), 0)
    file = io.BytesIO()
    table = pa.table({name: columns[name] for name in ("scaled", "ulps")})
    parquet.write_table(table, file, compression="zstd", use_dictionary=False)
    assert file.tell() / 2000 < 16

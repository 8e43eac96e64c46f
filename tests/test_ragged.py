"""Rows that belong to structures, also to none and to structures without rows."""

import numpy as np

from atomprint.ragged import chunks, locate, offsets_of, owners, pick, places, split, totals

COUNTS = [2, 0, 3, 1]
OFFSETS = np.array([0, 2, 2, 5, 6])


def test_offsets_and_back():
    assert offsets_of(COUNTS).tolist() == OFFSETS.tolist()
    assert offsets_of([]).tolist() == [0]
    assert offsets_of(np.array([True, False])).tolist() == [0, 1, 1]
    assert owners(OFFSETS).tolist() == [0, 0, 2, 2, 2, 3]
    assert places(OFFSETS).tolist() == [0, 1, 0, 1, 2, 0]
    assert [locate(OFFSETS, row) for row in range(6)] == list(zip(owners(OFFSETS), places(OFFSETS), strict=True))


def test_rows_of_structures():
    values = np.arange(6.0)
    parts = list(split(values, OFFSETS))
    assert [part.tolist() for part in parts] == [[0, 1], [], [2, 3, 4], [5]]
    assert np.shares_memory(parts[2], values)
    assert totals(values, offsets_of([2, 3, 1])).tolist() == [1, 9, 5]
    assert totals(np.stack([values, -values], axis=1), offsets_of([6])).tolist() == [[15, -15]]


def test_pick():
    rows, offsets = pick(OFFSETS, np.array([3, 1, 2, 3]))
    assert rows.tolist() == [5, 2, 3, 4, 5]
    assert offsets.tolist() == [0, 1, 1, 4, 5]
    rows, offsets = pick(OFFSETS, np.arange(4))
    assert rows == slice(None)
    assert offsets is OFFSETS


def test_chunks():
    assert list(chunks(OFFSETS, 4)) == [(0, 2), (2, 4)]
    assert list(chunks(OFFSETS, 1)) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert list(chunks(OFFSETS, 100)) == [(0, 4)]
    assert list(chunks(np.array([0]), 1)) == []

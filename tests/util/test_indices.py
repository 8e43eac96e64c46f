import numpy as np
import pytest
from scipy import sparse

from atomprint.util.indices import narrowed


def wide(array):
    """Return the same array with indices of 64 bit."""
    if array.format == "csr":
        array.indices, array.indptr = array.indices.astype(np.int64), array.indptr.astype(np.int64)
    else:
        array.coords = tuple(part.astype(np.int64) for part in array.coords)
    return array


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array])
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (5, 7)])
def test_indices_become_narrow(kind, shape):
    array = kind(np.arange(np.prod(shape)).reshape(shape) % 3)
    narrow = narrowed(wide(array.copy()))
    assert (narrow.toarray() == array.toarray()).all()
    parts = (narrow.indices, narrow.indptr) if kind is sparse.csr_array else narrow.coords
    assert all(part.dtype == np.int32 for part in parts)


def test_more_dimensions_survive_what_scipy_does_with_them():
    dense = np.arange(60).reshape(3, 4, 5) % 4
    narrow = narrowed(sparse.coo_array(dense))
    assert all(part.dtype == np.int32 for part in narrow.coords)
    np.testing.assert_array_equal(narrow.reshape(12, 5).tocsr().toarray(), dense.reshape(12, 5))
    np.testing.assert_array_equal(narrow.sum(axis=0), dense.sum(axis=0))


@pytest.mark.parametrize("shape", [(2, 2**31), (2**31, 2), (2**11, 2**10, 2**10)])
def test_what_needs_64_bits_keeps_them(shape):
    last = [n - 1 for n in shape]
    array = sparse.coo_array((np.ones(1), tuple(np.array([k]) for k in last)), shape=shape)
    assert [int(part[0]) for part in narrowed(array).coords] == last
    assert all(part.dtype == np.int64 for part in narrowed(array).coords)

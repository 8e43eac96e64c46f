"""Results that do not fit into memory: said before, with sizes, and sparse where that is enough."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Call
from atomprint.layout import HasLayout, symbols_of
from atomprint.ragged import owners
from atomprint.util.memory import NotEnoughMemoryError, available_memory, size_of

_ALWAYS_FITS = 2**28  # bytes: asking the system would take longer than many calls


def left_after(n_bytes: int) -> int | None:
    """Return how much memory is left if so many bytes do not fit into it, None if they do or it is not known."""
    if n_bytes <= _ALWAYS_FITS:
        return None
    free = available_memory()
    return free if free is not None and n_bytes > free else None


def fitted(call: Call, descriptor: HasLayout) -> Call:
    """Return the call, for sparse features where dense ones do not fit into memory, which a warning says then.

    Raises
    ------
    NotEnoughMemoryError
        If neither fits.
    """
    dense = call.n_rows * call.n_features_out * call.dtype.itemsize
    if call.sparse or (free := left_after(dense)) is None:
        return call
    name, table = type(descriptor).__name__, f"{call.n_rows} rows of {call.n_features_out} features"
    sparse = _sparse_bytes(call, descriptor)
    wanted = f"{name}: {table} take {size_of(dense)} dense and, of the species that are there, at most "
    wanted += f"{size_of(sparse)} sparse; {size_of(free)} of memory are left"
    ways = [f"{way}=…" for way in ("species_embedding", "pooling") if getattr(descriptor, way, 0) is None]
    ways = [way for way in ways if way != "pooling=…" or not call.per_structure]
    fewer = f", {' or '.join(ways)} for fewer numbers" if ways else ""
    other = f"iter_create for one piece after the other, create(…, out=…) for a memory map{fewer}"
    if sparse > free:
        raise NotEnoughMemoryError(f"{wanted}: take {other}")
    warnings.warn(f"{wanted}: the result is sparse. Say so by sparse=True, or take {other}", stacklevel=4)
    return replace(call, prepared=replace(call.prepared, sparse=True))


def _sparse_bytes(call: Call, descriptor: HasLayout) -> int:
    """Return what features need at most if those of species that a structure does not have are left out."""
    layout, species = descriptor._layout(), call.prepared.species
    index = {symbol: k for k, symbol in enumerate(symbols_of(species))}
    present = np.zeros((len(call), len(species)), dtype=bool)
    if species:
        present[owners(call.batch.offsets), call.species] = True
    there: npt.NDArray[np.float64] = np.zeros(len(call))
    for block, size in zip(layout.blocks, layout.sizes, strict=True):
        own = [index[symbol] for symbol in block.key if symbol in index]
        there += size * present[:, own].all(axis=1)
    rows = np.diff(call.rows) * (call.n_features_out / layout.n_features)
    return int((rows * there).sum()) * (call.dtype.itemsize + 4)


def check_room(call: Call, shapes: Iterable[tuple[int, ...]]) -> None:
    """Raise unless dense derivatives of these shapes fit into memory together."""
    given = list(shapes)
    n_bytes = sum(int(np.prod(shape, dtype=np.float64)) for shape in given) * call.dtype.itemsize
    if (free := left_after(n_bytes)) is not None:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in given)
        raise NotEnoughMemoryError(
            f"dense derivatives, {sizes} numbers, take {size_of(n_bytes)}, and {size_of(free)} of memory are left: "
            "sparse=True keeps those that are not zero, include= takes some of the atoms, and vjp contracts them with "
            "weights without building them"
        )

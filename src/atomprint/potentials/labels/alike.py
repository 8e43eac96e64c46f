"""Which structures are the same, whatever the order of their atoms, the images of these, and the origin."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from ase.geometry import complete_cell
from scipy.spatial import cKDTree

from atomprint.ragged import chunks, owners, totals
from atomprint.structures import Batch
from atomprint.util.types import FloatArray, Indices

NEAR = 1e-4
"""Atoms and lattice vectors that differ by less, in Å, are the same: files with a few digits are."""

_TOGETHER = 2**17  # atoms
_STEP = 10.0  # Å, a period in place of one where structures do not repeat
_WAVES = np.array([wave for wave in product((0, 1), repeat=3) if any(wave)])


def first_alike(batch: Batch) -> Indices:
    """Return the index of the first structure that is the same, its own for one that occurs once; shape (n,).

    Structures are sorted by numbers that neither depend on the order of the atoms, nor on lattice translations, nor on
    the origin, and only those near to each other there are compared atom by atom. Turned molecules are others.

    Parameters
    ----------
    batch : Batch
        The structures.
    """
    n = len(batch)
    first = np.arange(n)
    if n < 2:
        return first
    parts = [_fingerprints(batch[start:stop]) for start, stop in chunks(batch.offsets, _TOGETHER)]
    kinds, values, errors = (np.concatenate(found) for found in zip(*parts, strict=True))
    by_kind = np.argsort(kinds, kind="stable")
    for members in np.split(by_kind, np.flatnonzero(np.diff(kinds[by_kind])) + 1):
        if len(members) < 2:
            continue
        own, error = values[members], errors[members]
        best = int(np.argmax(own.std(axis=0) / np.median(error, axis=0)))
        order = np.argsort(own[:, best], kind="stable")
        chained = np.diff(own[order, best]) <= error[order[1:], best]
        for chain in np.split(order, np.flatnonzero(~chained) + 1):
            if len(chain) > 1:
                _compare(batch, members[chain], own[chain], error[chain], best, first)
    return first


def _compare(batch: Batch, members: Indices, values: FloatArray, errors: FloatArray, best: int, first: Indices) -> None:
    """Find those that are the same among some structures, sorted by one of their numbers."""
    kept: list[int] = []  # one for each that are the same
    groups: dict[int, list[int]] = {}
    start = 0
    for k in range(len(members)):
        while start < len(kept) and values[kept[start], best] < values[k, best] - errors[k, best]:
            start += 1
        near = np.array(kept[start:], dtype=np.intp)
        near = near[(np.abs(values[near] - values[k]) <= np.maximum(errors[near], errors[k])).all(axis=1)]
        for other in near.tolist():
            if matching(batch, int(members[k]), int(members[other])) is not None:
                groups[other].append(k)
                break
        else:
            kept.append(k)
            groups[k] = [k]
    for group in groups.values():
        first[members[group]] = members[group].min()


def matching(batch: Batch, one: int, other: int) -> Indices | None:
    """Return which atom of another structure each atom of one is, but for a common shift; None if they differ.

    Parameters
    ----------
    batch : Batch
        The structures.
    one, other : int
        Indices of the two.
    """
    (z, x), (z_other, x_other) = (
        (batch.numbers[own], batch.positions[own])
        for own in (slice(batch.offsets[s], batch.offsets[s + 1]) for s in (one, other))
    )
    pbc = batch.pbc[other]
    if len(z) != len(z_other) or not np.array_equal(batch.pbc[one], pbc):
        return None
    if np.abs(np.linalg.norm(batch.cells[one] - batch.cells[other], axis=1))[pbc].max(initial=0.0) > NEAR:
        return None
    cell = _periods(batch.cells[other][None], pbc[None])[0]
    inverse = np.linalg.inv(cell)

    def gaps(vectors: FloatArray) -> FloatArray:
        """Return the lengths of vectors, but for lattice translations."""
        parts = vectors @ inverse
        found: FloatArray = np.linalg.norm((parts - np.round(parts) * pbc) @ cell, axis=-1)
        return found

    if np.array_equal(z, z_other):  # in the same order, as copies mostly are
        apart = x - x_other
        if min(gaps(apart).max(), gaps(apart - apart[0]).max()) <= NEAR:
            return np.arange(len(z))
    kinds, counts = np.unique(z_other, return_counts=True)
    rarest = kinds[np.argmin(counts)]
    if not np.array_equal(np.sort(z), np.sort(z_other)):
        return None

    def placed(positions: FloatArray, numbers: npt.NDArray[np.int32]) -> FloatArray:
        parts = positions @ inverse
        wrapped = np.where(pbc, parts % 1.0, parts)
        wrapped[pbc & (wrapped >= 1.0)] = 0.0
        return np.column_stack([wrapped, numbers])

    tree = cKDTree(placed(x_other, z_other), boxsize=[*pbc.astype(np.float64), 0.0])
    reach = 2 * NEAR * float(np.linalg.norm(inverse, axis=0).max())
    from_atom = int(np.flatnonzero(z == rarest)[0])
    shifts = np.vstack([np.zeros(3), x_other[z_other == rarest] - x[from_atom]])
    # A few atoms tell which shifts are worth a look at all of them.
    probes = np.unique(np.linspace(0, len(z) - 1, 4).astype(np.intp))
    at = (x[probes] + shifts[:, None]).reshape(-1, 3)
    far, _ = tree.query(placed(at, np.tile(z[probes], len(shifts))), p=np.inf, distance_upper_bound=reach)
    for shift in shifts[np.isfinite(far).reshape(len(shifts), -1).all(axis=1)]:
        far, index = tree.query(placed(x + shift, z), p=np.inf, distance_upper_bound=reach)
        if (
            np.isfinite(far).all()
            and len(np.unique(index)) == len(z)
            and gaps(x + shift - x_other[index]).max() <= (2 if shift.any() else 1) * NEAR
        ):
            return np.asarray(index, dtype=np.intp)
    return None


def _periods(cells: FloatArray, pbc: npt.NDArray[np.bool_]) -> FloatArray:
    """Return cells in which only vectors along which structures repeat matter."""
    found: FloatArray = np.where(pbc[:, :, None], cells, 0.0)
    found[~pbc.any(axis=1)] = _STEP * np.eye(3)
    for s in np.flatnonzero(pbc.any(axis=1) & ~pbc.all(axis=1)):
        found[s] = complete_cell(found[s])
        found[s, ~pbc[s]] *= _STEP
    return found


def _fingerprints(batch: Batch) -> tuple[npt.NDArray[np.uint64], FloatArray, FloatArray]:
    """Return for each structure a checksum of its composition, and numbers that are near to each other where atoms are.

    These are moduli of Fourier sums over the atoms, and products of lattice vectors; with them comes by how much they
    differ at most between structures that are the same.
    """
    rng = np.random.default_rng(0)
    names = rng.integers(1, 2**63, 128, dtype=np.uint64)
    weights = rng.uniform(0.5, 1.5, 128)
    n = len(batch)
    owner = owners(batch.offsets)
    kinds = np.zeros(n, dtype=np.uint64)
    np.add.at(kinds, owner, names[batch.numbers])
    kinds += batch.pbc.astype(np.uint64) @ np.array([1, 2, 4], dtype=np.uint64)

    cells = _periods(batch.cells, batch.pbc)
    inverses = np.linalg.inv(cells)
    parts = np.einsum("ia,iab->ib", batch.positions, inverses[owner])
    own = weights[batch.numbers]
    turns = np.exp(2j * np.pi * (parts - np.round(parts)))
    sums = [np.abs(totals(own * np.prod(turns[:, wave > 0], axis=1), batch.offsets)) for wave in _WAVES]
    # Of each atom by two tolerances, and as much again for what lattice vectors differ by.
    steps = 2 * np.pi * np.linalg.norm(np.einsum("iab,wb->iwa", inverses, _WAVES), axis=2)
    error = 4 * NEAR * steps * totals(own, batch.offsets)[:, None]

    products = np.einsum("iab,icb->iac", cells, cells)[:, *np.triu_indices(3)]
    longest = np.linalg.norm(cells, axis=2).max(axis=1)
    error_products = np.broadcast_to((2.1 * NEAR * longest)[:, None], products.shape)
    return kinds, np.column_stack([*sums, products]), np.hstack([error, error_products]) + 1e-12

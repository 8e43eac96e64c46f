"""Dense arrangements of atoms, which no data hold: crystals, packings, dimers and trimers at short distances.

Some are put among the data of a fit (:mod:`atomprint.potentials.short_range.pseudo`), others are looked at afterwards
(:mod:`atomprint.potentials.short_range.scan`): no crystal structure is in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, combinations_with_replacement, product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import find_pairs
from atomprint.ragged import chunks, offsets_of
from atomprint.structures import Batch, joined
from atomprint.util.types import FloatArray

Near: TypeAlias = Mapping[tuple[int, int], float]
"""By two atomic numbers, in both orders: the distance in Å that other distances of the pair are shares of."""

Part: TypeAlias = tuple[FloatArray, FloatArray, Sequence[int]]
"""Cell (zeros for a molecule), positions and atomic numbers of a structure."""

_TOGETHER = 4096  # atoms, whose pairs are in memory at a time
_MOST_DRAWN = 2**17  # atoms, of structures that are taken from data
_WIDE = 40.0  # Å: twice any cutoff

_IMAGES = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
_CLOSE_PACKED = 2 ** (1 / 6)  # between atoms of volume 1
_FLAT = 0.4  # between planes, where atoms are about 1 apart
IntArray = npt.NDArray[np.int64]

Vectors: TypeAlias = Sequence[Sequence[float]]

_ORIGIN, _CENTRE, _QUARTER = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_CUBE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FACES = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BODY = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))

# Cell and atoms: simple, body-centred and face-centred cubic, and diamond. Filled with two elements, these are also
# rock salt, caesium chloride and zincblende, the layers of gold and copper, and many others.
_LATTICES: Sequence[tuple[Vectors, Vectors]] = (
    (_CUBE, (_ORIGIN,)),
    (_BODY, (_ORIGIN,)),
    (_FACES, (_ORIGIN,)),
    (_FACES, (_ORIGIN, _QUARTER)),
)


def _hexagonal(c: float) -> Vectors:
    return (1.0, 0.0, 0.0), (-0.5, 0.75**0.5, 0.0), (0.0, 0.0, c)


# Other lattices, with which of two elements is where; the cells of the first two are not those of close packing alone.
OTHERS: Mapping[str, tuple[Vectors, Vectors, Sequence[int]]] = {
    "hexagonal close-packed": (_hexagonal(1.633), ((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)), (0, 1)),
    "simple hexagonal": (_hexagonal(1.9), (_ORIGIN, (0.0, 0.0, 0.5)), (0, 1)),
    "beta-tin": (
        ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.55)),
        (_ORIGIN, _CENTRE, (0.0, 0.5, 0.25), (0.5, 0.0, 0.75)),
        (0, 0, 1, 1),
    ),
    "wurtzite": (
        _hexagonal(1.633),
        ((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5), (1 / 3, 2 / 3, 0.375), (2 / 3, 1 / 3, 0.875)),
        (0, 0, 1, 1),
    ),
    "nickel arsenide": (
        _hexagonal(1.5),
        (_ORIGIN, (0.0, 0.0, 0.5), (1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)),
        (0, 0, 1, 1),
    ),
    "A15": (
        _CUBE,
        (
            *(_ORIGIN, _CENTRE),
            *((0.25, 0.0, 0.5), (0.75, 0.0, 0.5)),
            *((0.5, 0.25, 0.0), (0.5, 0.75, 0.0)),
            *((0.0, 0.5, 0.25), (0.0, 0.5, 0.75)),
        ),
        (0, 0, 1, 1, 1, 1, 1, 1),
    ),
}


def crystals(
    species: Sequence[int], near: Near, count: int, shares: tuple[float, float], seed: int, periodic: bool = True
) -> Batch:
    """Return small crystals and packings of atoms at random, of each element and each two of them in turn.

    Half are stacked from a few cells of a cubic lattice, filled at random, strained, and with atoms moved, by
    random amounts or not at all. The others are up to eight atoms anywhere, most of which push each other apart.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers.
    near : mapping of pairs of int to float
        See :data:`Near`.
    count : int
        How many.
    shares : tuple of float
        Each is scaled so that the smallest distance, in shares of that of its pair of elements, lies between these.
    seed : int
        Of all that is drawn.
    periodic : bool
        Whether they repeat, for data that do; else they are the atoms of a cell alone, at least two.
    """
    rng = np.random.default_rng(seed)
    kinds = [*combinations_with_replacement(species, 2), *combinations(species, 2)]  # mixed ones twice

    def draw(k: int) -> Part:
        pair = kinds[k % len(kinds)]
        if rng.random() < 0.5:
            n = int(rng.integers(1, 9))
            cell = n ** (1 / 3) * (np.eye(3) + rng.choice((0.1, 0.3)) * rng.normal(size=(3, 3)))
            positions = rng.random((n, 3)) @ cell
            for _ in range(int(rng.choice((0, 2, 4)))):
                positions = _pushed(cell, positions)
        else:
            vectors, atoms = _LATTICES[int(rng.integers(len(_LATTICES)))]
            n, axis, cell = int(rng.integers(1, 4 // len(atoms) + 1)), int(rng.integers(3)), np.array(vectors)
            positions = (np.array(atoms)[None] @ cell + np.arange(n)[:, None, None] * cell[axis]).reshape(-1, 3)
            if n > 1:  # the next stack is on top of this one, or beside it
                cell[axis] = n * cell[axis] + int(rng.integers(2)) * cell[(axis + 1) % 3]
            cell, positions = _moved(
                cell, positions, rng.choice((0, 0.1, 0.2, 0.3)), rng.choice((0, 0.05, 0.1, 0.15)), rng
            )
        numbers = rng.choice(pair, len(positions))
        numbers[: min(2, len(numbers))] = pair[: len(numbers)]
        return cell, positions, numbers.tolist()

    return _scaled(draw, near, count, shares, rng, periodic, n_scales=2)


def compressed(batch: Batch, near: Near, count: int, shares: tuple[float, float], seed: int) -> Batch:
    """Return structures of some data, small ones, made as dense as :func:`crystals` are; fewer where these are large.

    They are strained, their atoms moved, and of half of them exchanged or drawn anew.
    """
    rng = np.random.default_rng(seed)
    small = np.flatnonzero((batch.n_atoms > 1) & (batch.n_atoms <= max(8, np.quantile(batch.n_atoms, 0.05))))
    small = small if len(small) else np.flatnonzero(batch.pbc.any(axis=1))
    if not len(small):
        return batch.pick(small)
    drawn_from = rng.choice(small, count)
    fit = int(np.searchsorted(np.cumsum(batch.n_atoms[drawn_from]), _MOST_DRAWN, side="right"))
    count = min(count, max(1, fit))
    chosen = batch.pick(drawn_from[:count])
    of_atom = np.repeat(np.arange(count), chosen.n_atoms)
    bend = rng.choice((0, 0.05, 0.1, 0.2), (count, 1, 1)) * np.clip(rng.normal(size=(count, 3, 3)), -1.5, 1.5) + np.eye(
        3
    )
    moves = np.mean(list(near.values())) * rng.choice((0, 0.05, 0.1, 0.2), count)
    positions = chosen.positions + moves[of_atom, None] * rng.normal(size=chosen.positions.shape)
    positions = np.einsum("ij,ijk->ik", positions, bend[of_atom])
    order = np.lexsort((rng.random(len(of_atom)), of_atom))
    drawn = np.array([chosen.numbers, chosen.numbers[order], rng.choice(np.unique(batch.numbers), len(of_atom))])
    numbers = drawn[rng.choice(3, count, p=(0.5, 0.25, 0.25))[of_atom], np.arange(len(of_atom))]
    made = Batch(
        np.ascontiguousarray(numbers, dtype=np.int32), positions, chosen.offsets, chosen.cells @ bend, chosen.pbc
    )
    closest, nearest = _nearest(made, near, 2 * max(near.values()))
    return _rescaled(made, np.flatnonzero(np.isfinite(nearest) & (closest > 0.2)), nearest, shares, rng)


def other_crystals(
    species: Sequence[int], near: Near, count: int, shares: tuple[float, float], seed: int, periodic: bool = True
) -> Batch:
    """Return crystals as :func:`crystals` does, of lattices that are not among those: :data:`OTHERS`."""
    rng = np.random.default_rng(seed)
    kinds = list(product(combinations_with_replacement(species, 2), OTHERS.values()))

    def draw(k: int) -> Part:
        pair, (vectors, atoms, which) = kinds[k % len(kinds)]
        cell = np.array(vectors)
        rattle = rng.uniform(0.02, 0.15)
        cell, positions = _moved(cell, np.array(atoms) @ cell, rattle / 2, rattle, rng)
        return cell, positions, [pair[kind] for kind in which]

    return _scaled(draw, near, count, shares, rng, periodic)


def varied(batch: Batch, near: Near, seed: int) -> Batch:
    """Return structures that are a little different in size and strain, and in where their atoms are."""
    rng = np.random.default_rng(seed)
    n = len(batch)
    of_atom = np.repeat(np.arange(n), batch.n_atoms)
    bend = rng.uniform(0.9, 1.1, (n, 1, 1)) * np.eye(3) + 0.05 * rng.normal(size=(n, 3, 3))
    moves = 0.1 * np.mean(list(near.values())) * rng.random(n)
    move = moves[of_atom, None] * rng.normal(size=batch.positions.shape)
    return batch.moved(np.einsum("ij,ijk->ik", batch.positions, bend[of_atom]) + move, batch.cells @ bend)


def dimers(pairs: Sequence[tuple[int, int]], distances: Sequence[FloatArray], *, periodic: bool = True) -> Batch:
    """Return dimers of pairs of elements, each at some distances in Å, alone.

    Periodic ones are in cells of 40 Å, as some descriptors need one.
    """
    cell = _WIDE * np.eye(3) * periodic
    parts: list[Part] = [
        (cell, np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]]), pair)
        for pair, own in zip(pairs, distances, strict=True)
        for r in own
    ]
    return _together(parts)


def clusters(
    species: Sequence[int], near: Near, count: int, shares: tuple[float, float], seed: int, periodic: bool = True
) -> Batch:
    """Return 40 dimers of each pair at distances that are evenly spread, and so many trimers, as :func:`dimers`."""
    rng = np.random.default_rng(seed)
    ends = list(combinations_with_replacement(species, 2))
    angles = [(centre, *pair) for centre in species for pair in ends]
    parts: list[Part] = []
    cell = _WIDE * np.eye(3) * periodic
    for k in range(count):
        centre, first, second = angles[k % len(angles)]
        one, other = rng.uniform(*shares, 2) * (near[centre, first], near[centre, second])
        angle = np.radians(rng.uniform(50, 180))
        place = [other * np.cos(angle), other * np.sin(angle), 0]
        parts.append((cell, np.array([[0, 0, 0], [one, 0, 0], place]), [centre, first, second]))
    lengths = [near[pair] * np.linspace(*shares, 40) for pair in ends]
    return joined(dimers(ends, lengths, periodic=periodic), _together(parts))


def _moved(
    cell: FloatArray, positions: FloatArray, strain: float, rattle: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a crystal with random strain, and with atoms moved in shares of the edge of an atom's cube."""
    size = float(abs(np.linalg.det(cell)) / len(positions)) ** (1 / 3)
    bend = np.eye(3) + strain * rng.normal(size=(3, 3))
    return cell @ bend, (positions + rattle * size * rng.normal(size=positions.shape)) @ bend


def _pushed(cell: FloatArray, positions: FloatArray) -> FloatArray:
    """Return atoms that have been pushed away from those that are nearer than those of a close packing."""
    between = positions[:, None, None] - (positions[:, None] + _IMAGES @ cell)[None]
    squares = np.einsum("ijkx,ijkx->ijk", between, between)
    squares[squares < 1e-9] = np.inf  # of the atom itself
    push = np.clip(_CLOSE_PACKED / np.sqrt(squares) - 1, 0, 3)
    moved: FloatArray = positions + 0.4 * np.einsum("ijk,ijkx->ix", push, between)
    return moved


def _scaled(
    draw: Callable[[int], Part],
    near: Near,
    count: int,
    shares: tuple[float, float],
    rng: np.random.Generator,
    periodic: bool,
    n_scales: int = 1,
) -> Batch:
    """Return so many crystals, each drawn one in ``n_scales`` sizes, scaled as :func:`crystals` says; no flat ones."""
    kept: list[Part] = []
    wanted, drawn = -(-count // n_scales), 0
    while len(kept) < wanted:
        n = wanted - len(kept) + wanted // 8
        parts = [draw(k) for k in range(drawn, drawn + n)]
        drawn += n
        flat = _are_flat(np.array([cell for cell, _, _ in parts]))
        parts = [part for part, is_flat in zip(parts, flat, strict=True) if not is_flat]
        if not periodic:
            parts = [(np.zeros((3, 3)), positions, numbers) for _, positions, numbers in parts]
        # In the units that are drawn, atoms are about 1 Å apart.
        closest, nearest = _nearest(_together(parts), near, 2.0)
        kept += [parts[k] for k in np.flatnonzero((closest > 0.4) & np.isfinite(nearest))]
    batch = _together(kept[:wanted])
    return _rescaled(batch, np.arange(count) // n_scales, _nearest(batch, near, 2.0)[1], shares, rng)


def _are_flat(cells: FloatArray) -> npt.NDArray[np.bool_]:
    """Return whether planes of lattices are very near to each other."""
    across = np.cross(cells[:, [1, 2, 0]], cells[:, [2, 0, 1]])
    volumes = np.abs(np.einsum("ki,ki->k", cells[:, 0], across[:, 0]))
    flat: npt.NDArray[np.bool_] = volumes < _FLAT * np.linalg.norm(across, axis=2).max(axis=1)
    return flat


def _nearest(batch: Batch, near: Near, reach: float) -> tuple[FloatArray, FloatArray]:
    """Return the smallest distance in each structure, in Å and in shares of that of its pair; inf if there is none."""
    table = np.zeros((119, 119))
    for (one, other), distance in near.items():
        table[one, other] = distance
    closest, nearest = np.full(len(batch), np.inf), np.full(len(batch), np.inf)
    for begin, end in chunks(batch.offsets, _TOGETHER):
        part = batch[begin:end]
        found = find_pairs(part, reach)
        start = part.offsets[found.structures]
        limits = table[part.numbers[start + found.first], part.numbers[start + found.second]]
        np.minimum.at(closest, begin + found.structures, found.distances)
        np.minimum.at(nearest, begin + found.structures, found.distances / limits)
    return closest, nearest


def _rescaled(
    batch: Batch, usable: IntArray, nearest: FloatArray, shares: tuple[float, float], rng: np.random.Generator
) -> Batch:
    """Return some structures, whose smallest distances are so many shares, scaled to others that are drawn."""
    scale = rng.uniform(*shares, len(usable)) / nearest[usable]
    chosen = batch.pick(usable)
    return chosen.moved(
        chosen.positions * np.repeat(scale, chosen.n_atoms)[:, None], chosen.cells * scale[:, None, None]
    )


def _together(parts: Sequence[Part]) -> Batch:
    """Return structures as one batch."""
    return Batch(
        np.concatenate([numbers for _, _, numbers in parts]).astype(np.int32),
        np.ascontiguousarray(np.concatenate([positions for _, positions, _ in parts])),
        offsets_of([len(numbers) for _, _, numbers in parts]),
        np.array([cell for cell, _, _ in parts]),
        np.array([[bool(cell.any())] * 3 for cell, _, _ in parts]),
    )

"""Dense arrangements of atoms, which no data hold: crystals, packings, dimers and trimers at short distances.

Some are put among the data of a fit (:meth:`~atomprint.potentials.Repulsion.pseudo_structures`), others are looked at
afterwards (:mod:`atomprint.potentials.short_range.scan`): no crystal structure is in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement, product
from typing import TypeAlias

import numpy as np

from atomprint.neighbours import find_pairs
from atomprint.ragged import offsets_of
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

Near: TypeAlias = Mapping[tuple[int, int], float]
"""By two atomic numbers, in both orders: the distance in Å that other distances of the pair are shares of."""

Part: TypeAlias = tuple[FloatArray, FloatArray, Sequence[int]]
"""Cell (zeros for a molecule), positions and atomic numbers of a structure."""

_TOGETHER = 128  # structures, whose pairs are in memory at a time
_WIDE = 40.0  # Å: twice any cutoff

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

    Three of four are stacked from a few cells of a cubic lattice, filled at random, strained, and with atoms moved, by
    random amounts or not at all. The others are up to four atoms anywhere.

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
    kinds = list(combinations_with_replacement(species, 2))

    def draw(k: int) -> Part:
        pair = kinds[k % len(kinds)]
        if rng.random() < 0.25:
            n = int(rng.integers(1, 5))
            cell = n ** (1 / 3) * np.eye(3) + 0.15 * rng.normal(size=(3, 3))
            positions = n ** (1 / 3) * rng.random((n, 3))
        else:
            vectors, atoms = _LATTICES[int(rng.integers(len(_LATTICES)))]
            n, axis, cell = int(rng.integers(1, 4 // len(atoms) + 1)), int(rng.integers(3)), np.array(vectors)
            positions = (np.array(atoms)[None] @ cell + np.arange(n)[:, None, None] * cell[axis]).reshape(-1, 3)
            if n > 1:  # the next stack is on top of this one, or beside it
                cell[axis] = n * cell[axis] + int(rng.integers(2)) * cell[(axis + 1) % 3]
            cell, positions = _moved(cell, positions, rng.choice((0, 0.1, 0.2)), rng.choice((0, 0.05, 0.1)), rng)
        numbers = rng.choice(pair, len(positions))
        numbers[: min(2, len(numbers))] = pair[: len(numbers)]
        return cell, positions, numbers.tolist()

    return _scaled(draw, near, count, shares, rng, periodic)


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


def clusters(
    species: Sequence[int], near: Near, count: int, shares: tuple[float, float], seed: int, periodic: bool = True
) -> Batch:
    """Return 40 dimers of each pair at distances that are evenly spread, and so many trimers, as :func:`crystals` does.

    Periodic ones have a cell of 40 Å, as some descriptors need one.
    """
    rng = np.random.default_rng(seed)
    ends = list(combinations_with_replacement(species, 2))
    angles = [(centre, *pair) for centre in species for pair in ends]
    parts: list[Part] = []
    cell = _WIDE * np.eye(3) * periodic
    for share, (first, second) in product(np.linspace(*shares, 40), ends):
        parts.append((cell, np.array([[0, 0, 0], [share * near[first, second], 0, 0]]), [first, second]))
    for k in range(count):
        centre, first, second = angles[k % len(angles)]
        one, other = rng.uniform(*shares, 2) * (near[centre, first], near[centre, second])
        angle = np.radians(rng.uniform(50, 180))
        place = [other * np.cos(angle), other * np.sin(angle), 0]
        parts.append((cell, np.array([[0, 0, 0], [one, 0, 0], place]), [centre, first, second]))
    return _together(parts)


def _moved(
    cell: FloatArray, positions: FloatArray, strain: float, rattle: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a crystal with random strain, and with atoms moved in shares of the edge of an atom's cube."""
    size = float(abs(np.linalg.det(cell)) / len(positions)) ** (1 / 3)
    bend = np.eye(3) + strain * rng.normal(size=(3, 3))
    return cell @ bend, (positions + rattle * size * rng.normal(size=positions.shape)) @ bend


def _scaled(
    draw: Callable[[int], Part],
    near: Near,
    count: int,
    shares: tuple[float, float],
    rng: np.random.Generator,
    periodic: bool,
) -> Batch:
    """Return so many crystals that are drawn, scaled as :func:`crystals` says; no nearly flat ones."""
    parts = [draw(k) for k in range(2 * count)]
    volumes = np.array([abs(np.linalg.det(cell)) / len(numbers) for cell, _, numbers in parts])
    if not periodic:
        parts = [(np.zeros((3, 3)), positions, numbers) for _, positions, numbers in parts]
    batch = _together(parts)
    table = np.zeros((119, 119))
    for (one, other), distance in near.items():
        table[one, other] = distance
    closest, nearest = np.full(len(batch), np.inf), np.full(len(batch), np.inf)
    for begin in range(0, len(batch), _TOGETHER):
        part = batch[begin : begin + _TOGETHER]
        found = find_pairs(part, 2.0)
        start = part.offsets[found.structures]
        limits = table[part.numbers[start + found.first], part.numbers[start + found.second]]
        np.minimum.at(closest, begin + found.structures, found.distances)
        np.minimum.at(nearest, begin + found.structures, found.distances / limits)
    # In the units that are drawn, atoms are about 1 Å apart.
    usable = np.flatnonzero((closest > 0.4) & np.isfinite(nearest) & (volumes > 0.1))[:count]
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

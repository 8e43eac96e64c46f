"""Slow, direct versions of MBTR, LMBTR and Valle-Oganov fingerprints; see ``naive.py`` for what they are for.

Terms are counted as the definition has it: every pair and triple with at least one atom in the home cell, with the
share that makes the sum over all of them count each once for each cell. The package counts in another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
ORDERS = {"atomic_number": 1, "distance": 2, "inverse_distance": 2, "angle": 3, "cosine": 3}


def broaden(values: Array, weights: Array, grid: Mapping[str, float], area: bool) -> Array:
    """Sum of weighted Gaussians, each integrated over the cells of the grid."""
    x = np.linspace(grid["min"], grid["max"], int(grid["n"]))
    dx, sigma = (grid["max"] - grid["min"]) / (grid["n"] - 1), grid["sigma"]
    edges = np.append(x - dx / 2, x[-1] + dx / 2)
    z = (edges - values[:, None]) / sigma
    # On the side where the distribution is small, differences keep their digits.
    steps = np.where(z[:, 1:] + z[:, :-1] > 0, ndtr(-z[:, :-1]) - ndtr(-z[:, 1:]), ndtr(z[:, 1:]) - ndtr(z[:, :-1]))
    return weights @ steps / dx * (1.0 if area else sigma * np.sqrt(2 * np.pi))


def cutoff_of(weighting: Mapping[str, Any], order: int) -> float:
    """Largest distance, or largest half perimeter."""
    if weighting["function"] == "unity":
        return np.inf
    if "r_cut" in weighting:
        return weighting["r_cut"]
    return -np.log(weighting["threshold"]) / weighting["scale"] / (order - 1)


def images(atoms: Any, periodic: bool, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Index, shift and position of all images that may be within reach of the wrapped home cell."""
    pbc = np.logical_and(atoms.pbc, periodic)
    atoms = atoms.copy()
    atoms.pbc = pbc
    if pbc.any():
        atoms.wrap(eps=0)
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0) if pbc.any() else np.ones(3)
    ranges = [
        range(-(n := int(np.ceil(reach / h)) + 1), n + 1) if p else (0,) for h, p in zip(heights, pbc, strict=True)
    ]
    shifts = np.array(list(product(*ranges)))
    positions = (shifts @ atoms.cell.array)[:, None] + atoms.positions
    index = np.tile(np.arange(len(atoms)), len(shifts))
    return index, np.repeat(shifts, len(atoms), axis=0), positions.reshape(-1, 3)


def triangle(i: Any, j: Any, n: int) -> Any:
    """Place of the pair (i, j) among all unordered pairs."""
    a, b = np.minimum(i, j), np.maximum(i, j)
    return b + a * n - a * (a + 1) // 2


def pair_weights(r: Array, weighting: Mapping[str, Any]) -> Array:
    """Weight of pairs."""
    cutoff = cutoff_of(weighting, 2)
    if weighting["function"] == "exp":
        scale = weighting.get("scale", -np.log(weighting.get("threshold", 1.0)) / cutoff)
        return np.where(r < cutoff, np.exp(-scale * r), 0.0)
    return np.where(r < cutoff, 1 / r**2 if weighting["function"] == "inverse_square" else 1.0, 0.0)


def angles(u: Array, v: Array, geometry: str, weighting: Mapping[str, Any]) -> tuple[Array, Array]:
    """Values and weights of triples from the vectors of the middle atom to the others."""
    a, b, c = (np.linalg.norm(x, axis=-1) for x in (u, v, u - v))
    cutoff, kind = cutoff_of(weighting, 3), weighting["function"]
    cosine = np.clip((u * v).sum(axis=-1) / (a * b), -1, 1)
    values = np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(axis=-1)))
    weights = np.ones(len(a))
    if kind == "exp":
        scale = weighting.get("scale", -np.log(weighting["threshold"]) / (2 * cutoff))
        weights = np.where(a + b + c < 2 * cutoff, np.exp(-scale * (a + b + c)), 0.0)
    if kind == "smooth_cutoff":
        y = weighting.get("sharpness", 2)
        for r in (a, b):
            x = np.minimum(r / cutoff, 1)
            weights = weights * (1 + y * x ** (y + 1) - (y + 1) * x**y)
    return (values if geometry == "angle" else cosine), weights


def mbtr(
    atoms: Any,
    *,
    geometry: Mapping[str, str],
    grid: Mapping[str, float],
    weighting: Mapping[str, Any],
    species: Sequence[int],
    normalize_gaussians: bool = True,
    normalization: str = "none",
    periodic: bool = False,
) -> Array:
    """MBTR of one structure, one term."""
    function, n = geometry["function"], len(species)
    order = ORDERS[function]
    kinds = np.array([sorted(species).index(z) for z in atoms.numbers])
    out = np.zeros(([n, n * (n + 1) // 2, n * n * (n + 1) // 2][order - 1], int(grid["n"])))

    def add(slots: Array, values: Array, weights: Array) -> None:
        for slot in np.unique(slots[weights != 0]):
            own = (slots == slot) & (weights != 0)
            out[slot] += broaden(values[own], weights[own], grid, normalize_gaussians)

    cutoff = cutoff_of(weighting, order)
    if order == 1:
        add(kinds, atoms.numbers.astype(float), np.ones(len(atoms)))
    elif order == 2:
        index, shift, where = images(atoms, periodic, cutoff)
        home = np.flatnonzero((shift == 0).all(axis=1))
        for i in home:
            others = np.setdiff1d(np.arange(len(index)), home[home <= i])
            r = np.linalg.norm(where[others] - where[i], axis=1)
            share = np.where((shift[others] == 0).all(axis=1), 1.0, 0.5)
            values = r if function == "distance" else 1 / r
            add(triangle(kinds[index[i]], kinds[index[others]], n), values, share * pair_weights(r, weighting))
    else:
        index, shift, where = images(atoms, periodic, 2 * cutoff)
        home = (shift == 0).all(axis=1)
        for j in range(len(index)):
            near = np.linalg.norm(where - where[j], axis=1)
            near = np.flatnonzero((near < cutoff) & (near > 1e-9))
            if not home[j] and not home[near].any():
                continue
            i, k = near[np.array(np.triu_indices(len(near), 1))]
            one = home[i] | home[j] | home[k]
            i, k = i[one], k[one]
            values, weights = angles(where[i] - where[j], where[k] - where[j], function, weighting)
            differ = sum((shift[a] != shift[b]).any(axis=-1).astype(float) for a, b in ((i, j), (j, k), (i, k)))
            slots = kinds[index[j]] * (n * (n + 1) // 2) + triangle(kinds[index[i]], kinds[index[k]], n)
            add(slots, values, weights / np.maximum(differ, 1))
    if normalization == "l2" and out.any():
        out /= np.linalg.norm(out)
    if normalization == "n_atoms":
        out /= len(atoms)
    if normalization == "valle_oganov":
        count, volume = np.bincount(kinds, minlength=n), atoms.get_volume()
        for j, i, k in product(range(n), repeat=3):
            if order == 3 and i <= k and count[i] * count[j] * count[k]:
                out[j * (n * (n + 1) // 2) + triangle(i, k, n)] *= volume / (count[i] * count[j] * count[k])
        for i, k in product(range(n), repeat=2):
            if order == 2 and i <= k and count[i] * count[k]:
                out[triangle(i, k, n)] *= volume / (4 * np.pi * count[i] * count[k]) * (2 if i == k else 1)
    return out.ravel()


def lmbtr(
    atoms: Any,
    center: Any,
    *,
    geometry: Mapping[str, str],
    grid: Mapping[str, float],
    weighting: Mapping[str, Any],
    species: Sequence[int],
    normalize_gaussians: bool = True,
    normalization: str = "none",
    periodic: bool = False,
) -> Array:
    """LMBTR of one centre, the index of an atom or a point."""
    function, n = geometry["function"], len(species) + 1
    order = ORDERS[function]
    kinds = 1 + np.array([sorted(species).index(z) for z in atoms.numbers])
    cutoff = cutoff_of(weighting, order)
    atoms, own = atoms.copy(), None
    point = atoms.positions[center] if isinstance(center, int | np.integer) else np.asarray(center)
    if not isinstance(center, int | np.integer) and periodic and atoms.pbc.any():
        probe = atoms.copy()
        probe.append("H")
        probe.positions[-1] = point
        probe.pbc = atoms.pbc
        probe.wrap(eps=0)
        point = probe.positions[-1]
    elif periodic and atoms.pbc.any():
        atoms.wrap(eps=0)
        point = atoms.positions[center]
    index, shift, where = images(atoms, periodic, 2 * cutoff)
    if isinstance(center, int | np.integer):
        own = np.flatnonzero((index == center) & (shift == 0).all(axis=1))
        index, where = np.delete(index, own), np.delete(where, own, axis=0)
    kind, r = kinds[index], np.linalg.norm(where - point, axis=1)
    if order == 2:
        out = np.zeros((n, int(grid["n"])))
        weights = pair_weights(r, weighting)
        for k in np.unique(kind):
            one = kind == k
            values = r[one] if function == "distance" else 1 / r[one]
            out[k] = broaden(values, weights[one], grid, normalize_gaussians)
    else:
        cube = np.zeros((n * n * (n + 1) // 2, int(grid["n"])))
        near = np.flatnonzero(r < cutoff)

        def add(middle: Any, i: Any, k: Any, u: Array, v: Array) -> None:
            values, weights = angles(u, v, function, weighting)
            slots = middle * (n * (n + 1) // 2) + triangle(i, k, n)
            for slot in np.unique(slots):
                cube[slot] += broaden(values[slots == slot], weights[slots == slot], grid, normalize_gaussians)

        i, k = near[np.array(np.triu_indices(len(near), 1))]
        if len(i):
            add(0, kind[i], kind[k], where[i] - point, where[k] - point)
        for j in near:
            others = np.flatnonzero(np.linalg.norm(where - where[j], axis=1) < cutoff)
            others = others[others != j]
            if len(others):
                u = np.broadcast_to(point - where[j], (len(others), 3))
                add(kind[j], np.zeros(len(others), dtype=int), kind[others], u, where[others] - where[j])
        kept = [
            j * (n * (n + 1) // 2) + triangle(i, k, n)
            for j, i, k in product(range(n), repeat=3)
            if i <= k and 0 in (i, j, k)
        ]
        out = cube[kept]
    if normalization == "l2" and out.any():
        out = out / np.linalg.norm(out)
    return out.ravel()


def valle_oganov(atoms: Any, *, species: Sequence[int], function: str, n: int, sigma: float, r_cut: float) -> Array:
    """Valle-Oganov fingerprint of one crystal."""
    distance = function == "distance"
    return mbtr(
        atoms,
        geometry={"function": function},
        grid={"min": 0, "max": r_cut if distance else 180, "n": n, "sigma": sigma},
        weighting={"function": "inverse_square" if distance else "smooth_cutoff", "r_cut": r_cut},
        species=species,
        normalization="valle_oganov",
        periodic=True,
    )

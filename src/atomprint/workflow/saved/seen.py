"""Which structures and compositions a model was fitted to, in a few bytes for each."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers

from atomprint.chemistry.contents import each_counted
from atomprint.chemistry.formula import reduced_formula
from atomprint.chemistry.smiles import Smiles
from atomprint.similarity.fingerprint import fingerprints
from atomprint.structures import Batch, StructureError

STRUCTURE_TOLERANCE = 0.02  # Å, of distances: coordinates of three digits; float16 is exact to 0.004 up to 8 Å
COMPOSITION_TOLERANCE = 1e-3  # of the share of an element: 0.333 is a third
_MAX_ATOMS = 20_000  # larger structures are not recognised, nor those in cells that are too flat

_N_MEANS, _N_EXTREMES = 8, 10

Marks = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class Identity(NamedTuple):
    """What a structure or composition is recognised by.

    Parameters
    ----------
    key : int
        For a structure a hash of its reduced formula, for a composition of its elements.
    mark : ndarray or None
        For a structure averages, least and largest of distances between its atoms, which rotation, the order of atoms
        and the choice of cell do not change, and which change by no more than atoms move, twice; for a composition the
        shares of its elements. None if it was not asked for.
    """

    key: int
    mark: Marks | None = None


def of_structures(batch: Batch, known: Container[int] | None = None) -> list[Identity]:
    """Return the identities of structures; with ``known`` keys, marks only of those that have one of these."""
    found = []
    for s, one in enumerate(each_counted(batch)):
        key = _hash(reduced_formula(one))
        wanted = known is None or key in known
        found.append(Identity(key, _mark(batch[s : s + 1]) if wanted else None))
    return found


def of_molecule(smiles: Smiles) -> Identity:
    """Return the identity of a molecule that is known by its bonds, the same for all SMILES of it."""
    return Identity(_hash(f"SMILES {smiles.canonical}"), np.zeros(1, dtype=np.float32))


def of_composition(amounts: Mapping[str, float]) -> Identity | None:
    """Return the identity of a composition by the amounts of its elements; None if there is nothing in it."""
    held = {atomic_numbers[symbol]: amount for symbol, amount in amounts.items() if amount}
    if not held:
        return None
    shares = np.array([held[z] for z in sorted(held)]) / sum(held.values())
    return Identity(_hash(" ".join(map(str, sorted(held)))), shares.astype(np.float32))


def _mark(one: Batch) -> npt.NDArray[np.float16]:
    unknown = np.full(_N_MEANS + 2 * _N_EXTREMES, np.nan, dtype=np.float16)
    if len(one.numbers) > _MAX_ATOMS:
        return unknown
    try:
        (found,) = fingerprints(one)
    except StructureError:  # a cell so flat that neighbours are not found
        return unknown
    few = _spaced(found.columns.shape[1], _N_EXTREMES)
    means = found.mean
    means = means[_spaced(len(means), _N_MEANS)]
    columns = found.columns[:, few]
    return np.concatenate([means, columns.min(axis=0), columns.max(axis=0)]).astype(np.float16)


def _spaced(n: int, size: int) -> npt.NDArray[np.intp]:
    return np.linspace(0, n - 1, size).round().astype(np.intp)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class Seen:
    """Identities of all training samples.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n,)
        In ascending order.
    marks : ndarray of float16 or float32, shape (n, n_numbers)
        Float16 for structures; float32 for compositions, where those of fewer elements end in zeros.
    """

    keys: npt.NDArray[np.uint64]
    marks: Marks

    @classmethod
    def fit(cls, identities: Iterable[Identity | None]) -> Self | None:
        """Keep what samples are recognised by; None where one of them cannot be."""
        keys: list[int] = []
        marks: list[Marks] = []
        for one in identities:
            if one is None or one.mark is None:
                return None
            keys.append(one.key)
            marks.append(one.mark)
        table = np.zeros((len(marks), max(map(len, marks), default=0)), dtype=marks[0].dtype if marks else np.float16)
        for row, mark in zip(table, marks, strict=True):
            row[: len(mark)] = mark
        hashes = np.array(keys, dtype=np.uint64)
        rows = np.lexsort((*table.T, hashes))  # the same bytes for the same samples
        return cls(hashes[rows], table[rows])

    def __contains__(self, key: object) -> bool:
        """Return whether a key is that of a training sample."""
        if not isinstance(key, int):
            return False
        where = np.searchsorted(self.keys, np.uint64(key))
        return bool(where < len(self.keys) and self.keys[where] == key)

    def has(self, one: Identity) -> bool:
        """Return whether a structure or composition is one of the training samples."""
        if one.mark is None or len(one.mark) > self.marks.shape[1]:
            return False
        first, last = (np.searchsorted(self.keys, np.uint64(one.key), side=side) for side in ("left", "right"))
        own = np.zeros(self.marks.shape[1])
        own[: len(one.mark)] = one.mark
        tolerance = STRUCTURE_TOLERANCE if self.marks.dtype == np.float16 else COMPOSITION_TOLERANCE
        return bool(np.any(np.all(np.abs(self.marks[first:last] - own) <= tolerance, axis=1)))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make this from its arrays; raise KeyError if one is missing, ValueError if they do not fit together."""
        keys, marks = np.asarray(arrays["keys"], dtype=np.uint64), np.asarray(arrays["marks"])
        if keys.ndim != 1 or marks.ndim != 2 or len(keys) != len(marks) or marks.dtype not in (np.float16, np.float32):
            raise ValueError("the training domain has fingerprints of wrong shapes")
        return cls(keys, marks)

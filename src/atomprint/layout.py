"""What each feature is: counts, names, meaning and the place of every species, from one object for each descriptor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

__all__ = [
    "Axis",
    "Block",
    "HasLayout",
    "Layout",
    "Meanings",
    "of_centers",
    "pair_keys",
    "sector",
    "shell",
    "symbols_of",
]

Indices = npt.NDArray[np.intp]

_SYMBOLS = frozenset(chemical_symbols[1:])
_OPEN = ("X", "all")  # in keys: a centre of any element, any element at all
_MANY = {2: "pairs", 3: "triples", 4: "quadruples"}
_NUMBERED = ("radial channels", "element channels", "rows of the matrix", "eigenvalues")
_SHELL = 1.0  # Å
_SECTOR = 30  # degrees


@dataclass(frozen=True, eq=False)
class Axis:
    """One thing that tells the features of a block apart, such as a radial index or a statistic.

    Parameters
    ----------
    way : str
        The way to group features that it stands for, such as ``"radial channels"``.
    texts : sequence of str
        How names say each level, such as ``"n=1"``; empty where they do not.
    groups : sequence of str, optional
        Group of each level, such as ``"n = 1"``; empty for none. Default: the texts.
    levels : array-like of int, shape (n_features,), optional
        Level of each feature of the block. Default: each feature is a level of its own.
    """

    way: str
    texts: Sequence[str]
    groups: Sequence[str] | None = None
    levels: npt.ArrayLike | None = None

    def places(self) -> Indices:
        """Return the level of each feature of the block."""
        return np.arange(len(self.texts)) if self.levels is None else np.asarray(self.levels, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Block:
    """A run of consecutive features that belong to one combination of species (or channels).

    Parameters
    ----------
    key : tuple of str
        The species or channels, in the order in which the features hold them.
    labels : sequence of str or Axis
        What tells the features of the block apart: a text for each, such as ``"eta=0.5"``, or what they mean.
    """

    key: tuple[str, ...]
    labels: Sequence[str] | Sequence[Axis]

    def axes(self, way: str) -> list[Axis]:
        """Return what tells the features apart; texts are levels of the way that is given."""
        axes = [label for label in self.labels if isinstance(label, Axis)]
        return axes or [Axis(way, [str(label) for label in self.labels])]


@dataclass(frozen=True, eq=False)
class Meanings:
    """What features are about: elements and pairs of these, radial and angular channels, properties, and so on.

    Parameters
    ----------
    names : sequence of str
        Names of the features.
    groups : sequence of (str, str)
        Groups of features: the way to group them, such as "elements", and the label. One may be there several times.
    columns, codes : ndarray of int, shape (n_pairs,)
        A feature, and the number of a group that it is in. A feature may be in several, or in none.
    """

    names: Sequence[str]
    groups: Sequence[tuple[str, str]]
    columns: Indices
    codes: Indices

    @classmethod
    def of_names(cls, names: Iterable[str]) -> Meanings:
        """Return what is known of features that have names alone: ``"number of C"`` is about carbon."""
        names = [str(name) for name in names]
        found = {k: name.removeprefix("number of ") for k, name in enumerate(names) if name.startswith("number of ")}
        found = {k: symbol for k, symbol in found.items() if symbol in _SYMBOLS}
        groups = [("elements", symbol) for symbol in found.values()]
        return cls(names, groups, np.array(list(found), dtype=np.intp), np.arange(len(found)))

    @classmethod
    def joined(cls, parts: Mapping[str, Meanings]) -> Meanings:
        """Return the meanings of features side by side, each name after that of its part, as in a ``FeatureUnion``.

        Numbers of one part are not those of another: the third radial function of eight is not the third of four.
        Groups that are numbered stay apart where several parts have them, and are called after these.
        """
        ways = [way for part in parts.values() for way in {way for way, _ in part.groups}]
        apart = {way for way in _NUMBERED if ways.count(way) > 1}
        names: list[str] = []
        groups: list[tuple[str, str]] = []
        columns, codes = [], []
        for key, part in parts.items():
            columns.append(len(names) + part.columns)
            codes.append(len(groups) + part.codes)
            names += [f"{key}__{name}" for name in part.names]
            groups += [
                (way, key if way == "descriptors" else f"{key}: {label}" if label and way in apart else label)
                for way, label in part.groups
            ]
        return cls(names, groups, np.concatenate(columns), np.concatenate(codes))

    def repeated(self, names: Sequence[str], labels: Sequence[Sequence[tuple[str, str]]]) -> Meanings:
        """Return the meanings of the features several times over, such as once for each method of a pooling.

        Parameters
        ----------
        names : sequence of str
            Names of all features, those of one repetition after those of the other.
        labels : sequence of sequence of (str, str)
            Groups that each repetition is in besides.
        """
        n = len(self.names)
        own = [(repeat, group) for repeat, groups in enumerate(labels) for group in groups]
        columns = [repeat * n + np.arange(n) for repeat, _ in own]
        columns += [repeat * n + self.columns for repeat in range(len(labels))]
        codes = [np.repeat(np.arange(len(own)), n), np.tile(len(own) + self.codes, len(labels))]
        groups = [group for _, group in own] + list(self.groups)
        return Meanings(names, groups, np.concatenate(columns), np.concatenate(codes))

    def take(self, columns: Indices, names: Sequence[str]) -> Meanings:
        """Return the meanings of some of the features, under new names."""
        place = np.full(len(self.names), -1)
        place[columns] = np.arange(len(columns))
        kept = place[self.columns] >= 0
        return Meanings(names, self.groups, place[self.columns[kept]], self.codes[kept])


class Layout:
    """The features of a descriptor, block by block.

    Parameters
    ----------
    prefix : str
        First part of every feature name.
    blocks : sequence of Block
        All blocks, in the order of the features.

    Attributes
    ----------
    sizes : tuple of int
        Number of features of each block.
    n_features : int
        Number of all.
    """

    def __init__(self, prefix: str, blocks: Sequence[Block]) -> None:
        self.prefix = prefix
        self.blocks = tuple(blocks)
        self._axes = [block.axes(f"{prefix} features") for block in self.blocks]
        sizes = [len(axes[0].places()) for axes in self._axes]
        self.sizes = tuple(sizes)
        ends = np.cumsum(sizes).tolist()
        self._slices: Mapping[tuple[str, ...], slice] = {
            block.key: slice(end - size, end) for block, size, end in zip(self.blocks, sizes, ends, strict=True)
        }
        self.n_features: int = ends[-1]

    def names(self) -> npt.NDArray[np.object_]:
        """Return one name for each feature, such as ``"SOAP C-O n=1 n'=2 l=3"``."""
        names = []
        for block, axes in zip(self.blocks, self._axes, strict=True):
            first = " ".join(filter(None, (self.prefix, "-".join(block.key))))
            texts = [[axis.texts[k] for k in axis.places().tolist()] for axis in axes]
            names += [" ".join(filter(None, (first, *parts))) for parts in zip(*texts, strict=True)]
        return np.array(names, dtype=object)

    def meanings(self) -> Meanings:
        """Return the names of the features, and what they are about."""
        groups, columns, codes, start = [("descriptors", self.prefix)], [np.arange(self.n_features)], [], 0
        codes.append(np.zeros(self.n_features, dtype=np.intp))
        for block, axes in zip(self.blocks, self._axes, strict=True):
            size = len(axes[0].places())
            same = np.zeros(size, dtype=np.intp)
            for axis in (*(Axis(way, [label], levels=same) for way, label in _of_key(block.key)), *axes):
                columns.append(np.arange(start, start + size))
                codes.append(len(groups) + axis.places())
                groups += [(axis.way, label) for label in (axis.texts if axis.groups is None else axis.groups)]
            start += size
        return Meanings(self.names().tolist(), groups, np.concatenate(columns), np.concatenate(codes))

    def location(self, key: Sequence[Any]) -> slice:
        """Return the slice of features that belong to a combination of species, in either order.

        Raises
        ------
        ValueError
            If the descriptor has no features for this combination.
        """
        symbols = tuple(_symbol(item) for item in key)
        found = self._slices.get(symbols, self._slices.get(symbols[::-1]))
        if found is None:
            known = ", ".join("-".join(k) for k in list(self._slices)[:10])
            raise ValueError(f"species: no features for {'-'.join(symbols)}; there are features for {known}")
        return found


class HasLayout:
    """What knows its features by a layout: gives their number, names and meanings."""

    @abstractmethod
    def _layout(self) -> Layout:
        """Return counts, names and meanings of the features."""

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return self._layout().n_features

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, in their order.

        Parameters
        ----------
        input_features : ignored
            Present for scikit-learn.

        Returns
        -------
        ndarray of str, shape (n_features,)
        """
        return self._layout().names()

    def get_feature_meanings(self, given: Meanings | None = None) -> Meanings:
        """Return what the features are about; ``given`` is ignored, as there are none before them."""
        return self._layout().meanings()


def _of_key(key: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the groups of a combination of species, such as C and O."""
    if not all(part in _SYMBOLS or part in _OPEN for part in key):
        yield "element channels", "-".join(key)
        return
    elements = [part for part in key if part in _SYMBOLS]
    for element in dict.fromkeys(elements):
        yield "elements", element
    if len(key) > 1 and elements:
        yield f"species {_MANY[len(key)]}", "-".join(key)


def of_centers(label: str) -> tuple[str, str]:
    """Return the group of features that are pooled over centres of an element, or weighted by a channel of these."""
    return ("elements" if label in _SYMBOLS else "channels") + " of centres", label


def shell(distance: float) -> str:
    """Return the shell that a distance is in; what is far off, as 1/Å grids have it near zero, is one shell."""
    if distance >= 10:
        return "beyond 10 Å"
    start = max(distance, 0) // _SHELL * _SHELL
    return f"{start:g}–{start + _SHELL:g} Å"


def sector(angle: float) -> str:
    """Return the sector that an angle in degrees is in."""
    start = min(max(int(angle // _SECTOR) * _SECTOR, 0), 180 - _SECTOR)
    return f"{start}–{start + _SECTOR}°"


def _symbol(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, int | np.integer) and 0 < item < len(chemical_symbols):
        return chemical_symbols[int(item)]
    raise ValueError(f"species must be chemical symbols or atomic numbers, got {item!r}")


def pair_keys(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """Return all unordered pairs of symbols, first symbol first, in the order of the features."""
    return [(a, b) for i, a in enumerate(symbols) for b in symbols[i:]]


def symbols_of(numbers: Sequence[int]) -> tuple[str, ...]:
    """Return the chemical symbols of atomic numbers."""
    return tuple(chemical_symbols[z] for z in numbers)

"""Ways of dividing samples into parts: at random, with equal shares of classes, by groups, elements or time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, train_test_split

from atomprint.util.types import FloatArray, Indices, Mask

# Regression is stratified by quantiles of the target: more bins than this make no difference.
_N_BINS = 10


class Drawn(NamedTuple):
    """Samples set aside for testing, the others, and what there is to say about the choice."""

    train: Indices
    test: Indices
    note: str = ""


class Folds(NamedTuple):
    """Samples to fit and samples to predict, of each fold, with names unless they have only numbers."""

    pairs: Sequence[tuple[Indices, Indices]]
    names: tuple[str, ...] = ()


class Partition(ABC):
    """A way of dividing samples; all indices are into all samples of the problem."""

    phrase: str
    """How samples are divided, as the beginning of a sentence."""

    fewest_folds = 2
    """Fewest folds that make sense."""

    @abstractmethod
    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set about a share ``test_size`` of some samples aside."""

    @abstractmethod
    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the largest number of folds that some samples can be cut into, and what that number is."""

    @abstractmethod
    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Cut some samples into folds, not more than :meth:`limit` says."""


class AtRandom(Partition):
    """Shuffled units: samples, or structures with all their atoms.

    Parameters
    ----------
    units : ndarray of int, shape (n_samples,)
        The unit that each sample belongs to.
    name : str
        What units are, in the plural.
    """

    phrase = "Drawn at random"

    def __init__(self, units: Indices, name: str = "samples") -> None:
        self.units = units
        self.name = name

    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set the first units of a shuffled list aside."""
        codes, n = self._codes(indices)
        n_test = _test_count(n, test_size, self.name)
        train, test = train_test_split(np.arange(n), test_size=n_test, random_state=seed)
        order = np.argsort(codes, kind="stable")  # samples of a unit next to each other, units as they were drawn
        starts = np.searchsorted(codes[order], np.arange(n + 1))

        def samples(drawn: Indices) -> Indices:
            return indices[np.concatenate([order[starts[u] : starts[u + 1]] for u in drawn])]

        return Drawn(samples(train), samples(test))

    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the number of units."""
        return self._codes(indices)[1], f"the number of {self.name}"

    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Cut a shuffled list of units into runs of equal length, as scikit-learn's KFold does."""
        codes, n = self._codes(indices)
        cut = KFold(n_folds, shuffle=True, random_state=seed).split(np.arange(n))
        return Folds([(indices[np.isin(codes, fit)], indices[np.isin(codes, predict)]) for fit, predict in cut])

    def _codes(self, indices: Indices) -> tuple[Indices, int]:
        """Return the units of some samples, numbered as they come, and how many there are."""
        found, first, inverse = np.unique(self.units[indices], return_index=True, return_inverse=True)
        rank = np.empty(len(found), dtype=np.intp)
        rank[np.argsort(first)] = np.arange(len(found))
        return rank[inverse], len(found)


class Stratified(Partition):
    """Equal shares of every class, or of every range of the target, in all parts.

    Parameters
    ----------
    y : ndarray of float, shape (n_samples,)
        Targets, or indices of classes.
    classes : sequence of str
        Names of the classes; none for a number, which is binned by its quantiles.
    units : ndarray of int, shape (n_samples,), or None
        Structures whose atoms must stay together; None if samples are on their own.
    """

    def __init__(self, y: FloatArray, classes: Sequence[str], units: Indices | None) -> None:
        self.y = y
        self.classes = classes
        self.units = units
        what = "each class" if classes else "each range of the target"
        self.phrase = f"Drawn at random with the same share of {what} in every part"

    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set the same share of every class aside; of atoms, about that share of whole structures."""
        smaller = min(test_size, 1 - test_size)
        if self.units is not None:
            # Whole structures, as nearly as these allow: one of 1 / test_size folds.
            n = self._n_units(indices)
            _test_count(n, test_size, "structures")
            parts = min(max(2, round(1 / smaller)), self.limit(indices)[0])
            if parts < 2:
                raise ValueError(f"test_size must leave each class samples in two parts: {self._rarest(indices)}")
            large, small = self.folds(indices, parts, seed).pairs[0]
            return Drawn(large, small) if test_size == smaller else Drawn(small, large)
        n_test = _test_count(len(indices), test_size, "samples")
        least = min(n_test, len(indices) - n_test)
        strata = self._strata(indices, min(least, len(indices) // 2))
        count = np.unique(strata, return_counts=True)[1]
        if count.min() < 2 or len(count) > least:
            raise ValueError(
                f"test_size must leave each of {len(count)} classes samples for training and for testing, got "
                f"{test_size:g} of {len(indices)} samples; {self._rarest(indices)}"
            )
        return Drawn(*train_test_split(indices, test_size=n_test, random_state=seed, stratify=strata))

    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the number of samples of the smallest class."""
        n, what = (
            (len(indices), "the number of samples")
            if self.units is None
            else (self._n_units(indices), "the number of structures")
        )
        if self.classes:
            rarest, count = self._smallest_class(indices)
            if count < n:
                return count, f"the number of samples of class {rarest!r}"
        return n, what

    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Deal the shuffled samples of each class to the folds, as scikit-learn's StratifiedKFold does."""
        strata = self._strata(indices, len(indices) // n_folds)
        kind = StratifiedKFold if self.units is None else StratifiedGroupKFold
        groups = None if self.units is None else self.units[indices]
        cut = kind(n_folds, shuffle=True, random_state=seed).split(strata, strata, groups)
        return Folds([(indices[fit], indices[predict]) for fit, predict in cut])

    def _strata(self, indices: Indices, most: int) -> Indices:
        """Return the class of each sample, or its range of the target, of which there are at most ``most``."""
        if self.classes:
            return self.y[indices].astype(np.intp)
        n_bins = max(1, min(_N_BINS, most))
        ranks = np.empty(len(indices), dtype=np.intp)
        ranks[np.argsort(self.y[indices], kind="stable")] = np.arange(len(indices))
        return ranks * n_bins // len(indices)

    def _smallest_class(self, indices: Indices) -> tuple[str, int]:
        found, counts = np.unique(self.y[indices].astype(np.intp), return_counts=True)
        rarest = int(np.argmin(counts))
        return self.classes[found[rarest]], int(counts[rarest])

    def _rarest(self, indices: Indices) -> str:
        if not self.classes:
            return f"there are {len(indices)} samples"
        rarest, count = self._smallest_class(indices)
        return f"class {rarest!r} has {count}"

    def _n_units(self, indices: Indices) -> int:
        assert self.units is not None
        return len(np.unique(self.units[indices]))


class ByGroup(Partition):
    """Samples of one group always in the same part.

    Parameters
    ----------
    labels : ndarray of str, shape (n_samples,)
        The group of each sample. Those of which it is not known, with an empty label, are one group: they could be
        alike.
    name : str
        By what they are grouped.
    shared : str
        What samples of a group share.
    """

    def __init__(self, labels: npt.NDArray[np.str_], name: str, shared: str) -> None:
        self.names, self.codes = np.unique(labels, return_inverse=True)
        self.name = name
        self.phrase = f"Divided by {name}, so that samples with {shared} are always in the same part"
        unknown = int(np.sum(labels == ""))
        if unknown:
            self.phrase += f" ({unknown} samples without a {name} count as one group)"

    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set groups aside that together have about that share of the samples."""
        codes = self.codes[indices]
        order = np.argsort(codes, kind="stable")
        present, starts = np.unique(codes[order], return_index=True)
        if len(present) < 2:
            raise ValueError(
                f"group_by {self.name!r} must give at least 2 groups, got only {str(self.names[present[0]])!r}"
            )
        members = np.split(order, starts[1:])
        chosen = _draw_sets(members, len(indices), test_size, np.random.default_rng(seed))
        test = np.zeros(len(indices), dtype=bool)
        for group in chosen:
            test[members[group]] = True
        n_groups = f"{len(present) - len(chosen)} groups for training, {len(chosen)} for testing"
        return Drawn(indices[~test], indices[test], n_groups)

    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the number of groups."""
        return len(np.unique(self.codes[indices])), f"the number of groups by {self.name!r}"

    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Deal whole groups to the folds, so that these have about the same size."""
        present, members, sizes = np.unique(self.codes[indices], return_inverse=True, return_counts=True)
        # The largest first, those of the same size in shuffled order, each to the fold that is smallest so far. Unlike
        # GroupKFold's, this order does not depend on how a processor sorts ties.
        order = np.random.default_rng(seed).permutation(len(present))
        order = order[np.argsort(-sizes[order], kind="stable")]
        fold_of = np.empty(len(present), dtype=np.intp)
        lightest = [(0, k) for k in range(n_folds)]
        for group in order.tolist():
            size, k = heappop(lightest)
            fold_of[group] = k
            heappush(lightest, (size + int(sizes[group]), k))
        dealt = fold_of[members]
        pairs = [(indices[dealt != k], indices[dealt == k]) for k in range(n_folds)]
        alone = n_folds == len(present)
        names = tuple(str(self.names[self.codes[p[0]]]) or "not known" for _, p in pairs) if alone else ()
        return Folds(pairs, names)


class ElementLeftOut(Partition):
    """All samples with an element predicted from those without it.

    Parameters
    ----------
    contains : ndarray of bool, shape (n_samples, 119)
        Whether each sample has the element with each atomic number.
    """

    phrase = "Each element left out in turn: all samples with it are predicted from those without it"
    fewest_folds = 1

    def __init__(self, contains: Mask) -> None:
        self.contains = contains

    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set all samples aside that have one of a few elements."""
        elements = self._elements(indices)
        members = [np.flatnonzero(self.contains[indices, z]) for z in elements]
        chosen = _draw_sets(members, len(indices), test_size, np.random.default_rng(seed))
        drawn = np.sort(elements[chosen])
        test = self.contains[np.ix_(indices, drawn)].any(axis=1)
        symbols = ", ".join(chemical_symbols[z] for z in drawn)
        return Drawn(indices[~test], indices[test], f"the test part is all samples with {symbols}")

    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the number of elements that can be left out."""
        return int(self._mixed(indices).sum()), "the number of elements that some samples have and others lack"

    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Leave out one element in each fold; elements are drawn if there are more than folds."""
        elements = self._elements(indices)
        if n_folds < len(elements):
            elements = np.sort(np.random.default_rng(seed).permutation(elements)[:n_folds])
        has = self.contains[np.ix_(indices, elements)]
        return Folds(
            [(indices[~column], indices[column]) for column in has.T], tuple(chemical_symbols[z] for z in elements)
        )

    def _elements(self, indices: Indices) -> Indices:
        found = np.flatnonzero(self._mixed(indices))
        if len(found) == 0:
            raise ValueError("group_by 'element' needs elements that some samples have and others lack, got none")
        return found

    def _mixed(self, indices: Indices) -> Mask:
        has = self.contains[indices]
        return np.asarray(has.any(axis=0) & ~has.all(axis=0))


class ByTime(Partition):
    """The past to learn from, and what came later to be tested on.

    Parameters
    ----------
    times : ndarray of float, shape (n_samples,)
        When each sample was made known; samples of the same time stay together.
    name : str
        What gives the time.
    """

    fewest_folds = 1

    def __init__(self, times: FloatArray, name: str) -> None:
        self.times = times
        self.name = name
        self.phrase = f"Divided by {name}, so that models learn from what came first and are tested on what came later"

    def draw(self, indices: Indices, test_size: float, seed: int) -> Drawn:
        """Set the latest samples aside."""
        n = len(indices)
        ordered, allowed = self._order(indices)
        if len(allowed) == 0:
            raise ValueError(f"group_by {self.name!r} must give at least 2 different times, got 1")
        (at,) = _nearest(allowed, [n - _test_count(n, test_size, "samples")])
        return Drawn(ordered[:at], ordered[at:])

    def limit(self, indices: Indices) -> tuple[int, str]:
        """Return the number of places between different times."""
        return len(self._order(indices)[1]), f"the number of different times by {self.name!r}, less one,"

    def folds(self, indices: Indices, n_folds: int, seed: int) -> Folds:
        """Predict each of several stretches of about the same size from all before it."""
        ordered, allowed = self._order(indices)
        n = len(indices)
        cuts = [*_nearest(allowed, [i * n / (n_folds + 1) for i in range(1, n_folds + 1)]), n]
        return Folds([(ordered[:a], ordered[a:b]) for a, b in pairwise(cuts)])

    def _order(self, indices: Indices) -> tuple[Indices, Indices]:
        """Return samples from first to last, and the places between different times."""
        order = np.argsort(self.times[indices], kind="stable")
        return indices[order], np.flatnonzero(np.diff(self.times[indices][order]) > 0) + 1


def parse_times(labels: npt.NDArray[np.str_], name: str, ids: Sequence[str]) -> FloatArray:
    """Return labels as numbers that sort by time: numbers as they are, or else ISO dates in seconds.

    Raises
    ------
    ValueError
        If a label is missing, or is neither; the message names it.
    """
    missing = np.flatnonzero(labels == "")
    if len(missing):
        raise ValueError(
            f"group_by {name!r} must be known for every sample, got none for {len(missing)} of them, such as "
            f"{ids[missing[0]]!r}"
        )
    try:
        times = labels.astype(np.float64)
    except ValueError:
        times = np.array([_seconds(label, name, ids[i]) for i, label in enumerate(labels.tolist())])
    if not np.isfinite(times).all():
        raise ValueError(f"group_by {name!r} must be finite, got {str(labels[~np.isfinite(times)][0])!r}")
    return times


def _seconds(label: str, name: str, sample: str) -> float:
    try:
        date = datetime.fromisoformat(label)
    except ValueError:
        try:
            if not label[0].isdigit():  # NumPy also knows "today"
                raise ValueError
            return float(np.datetime64(label, "s").astype(np.int64))  # such as 2019-05
        except ValueError:
            raise ValueError(f"group_by {name!r} must be numbers or ISO dates, got {label!r} for {sample!r}") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _test_count(n: int, test_size: float, what: str) -> int:
    n_test = int(np.ceil(test_size * n))
    if n_test >= n:
        raise ValueError(f"test_size must leave {what} for training, got {test_size:g} of {n} {what}")
    return n_test


def _draw_sets(members: Sequence[Indices], n: int, test_size: float, rng: np.random.Generator) -> list[int]:
    """Draw sets at random, which may overlap, until their union has about a share ``test_size`` of ``n`` things."""
    target = test_size * n
    taken = np.zeros(n, dtype=bool)
    size, chosen = 0, []
    for i in rng.permutation(len(members)).tolist():
        larger = size + int(np.sum(~taken[members[i]]))
        # A set that would overshoot by more is left for training, and so is the last one.
        if larger < n and abs(larger - target) < abs(size - target):
            taken[members[i]] = True
            size = larger
            chosen.append(i)
        if size >= target:
            break
    return chosen or [min(range(len(members)), key=lambda i: len(members[i]))]


def _nearest(allowed: Indices, targets: Sequence[float]) -> list[int]:
    """Return different allowed places in ascending order, each as near to its target as those before leave it."""
    found, first = [], 0
    for k, target in enumerate(targets):
        last = len(allowed) - (len(targets) - k - 1)
        first += int(np.argmin(np.abs(allowed[first:last] - target))) + 1
        found.append(int(allowed[first - 1]))
    return found

"""Which samples models learn from, and which they are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.learn.splits.groups import GROUPS, group_labels
from atomprint.learn.splits.partition import (
    AtRandom,
    ByGroup,
    ByTime,
    Drawn,
    ElementLeftOut,
    Folds,
    Partition,
    Stratified,
    parse_times,
)
from atomprint.learn.task.problem import Problem
from atomprint.util.types import Indices
from atomprint.util.validation import check_choice, check_integer, check_real

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "random": "samples in shuffled order",
        "stratified": "shuffled, with the same share of each class, or of each range of the target, in every part",
        "group": "samples of a group, such as those with the same formula, always in the same part",
        "official": "the folds that come with the data set",
        "time": "models learn from what came first and are tested on what came later",
    }
)
"""Ways of dividing samples, as :func:`make_split` names them."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which samples are for training and which for testing.

    Parameters
    ----------
    train, test : ndarray of int
        Indices of the samples of the training and the test part. Without a test part (a cross-validation over all
        samples, such as the folds of Matbench) ``test`` is empty.
    folds : tuple of (ndarray of int, ndarray of int)
        The cross-validation within the training part: indices to fit, and indices to predict, into all samples.
        Empty if there is none. Folds that leave out elements may predict a sample more than once, and others, such as
        those in order of time, do not predict every sample.
    seed : int
        Seed of the shuffling and of the models.
    method : str
        How the samples were divided, as recipes name it.
    description : str
        The same in a sentence.
    fold_names : tuple of str
        Names of the folds, such as the element left out; empty for "fold 1", "fold 2" …
    group_by : str or None
        What keeps samples together, or gives the time.

    Raises
    ------
    ValueError
        If the split is not honest: a sample is in both the training and the test part, or is fitted and predicted in
        one fold, or folds leave the training part; or if a part is empty.
    """

    train: Indices
    test: Indices
    folds: tuple[tuple[Indices, Indices], ...]
    seed: int
    method: str = "random"
    description: str = ""
    fold_names: tuple[str, ...] = ()
    group_by: str | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            object.__setattr__(self, name, _indices(name, getattr(self, name)))
        object.__setattr__(
            self,
            "folds",
            tuple(
                (_indices(f"folds[{i}], fit", fit), _indices(f"folds[{i}], predict", predict))
                for i, (fit, predict) in enumerate(self.folds)
            ),
        )
        if len(self.train) == 0:
            raise ValueError("train must have at least one sample, got none")
        _check_apart("train", self.train, "test", self.test)
        for i, (fit, predict) in enumerate(self.folds):
            for name, part in (("fit", fit), ("predict", predict)):
                if len(part) == 0:
                    raise ValueError(f"folds[{i}] must have samples to {name}, got none")
                outside = _within(part, self.train, False)
                if len(outside):
                    raise ValueError(
                        f"folds[{i}] must be within train, got {len(outside)} samples to {name} that are not, such as "
                        f"sample {outside[0]}"
                    )
            _check_apart(f"folds[{i}], fit", fit, f"folds[{i}], predict", predict)
        if self.fold_names and len(self.fold_names) != len(self.folds):
            raise ValueError(f"fold_names must name each of {len(self.folds)} folds, got {len(self.fold_names)}")

    def parts(self) -> list[tuple[str, Indices, Indices]]:
        """Return name, samples to fit and samples to predict of each fold and, last, of the test part, "test"."""
        names = self.fold_names or tuple(f"fold {i}" for i in range(1, len(self.folds) + 1))
        parts = [(name, fit, predict) for name, (fit, predict) in zip(names, self.folds, strict=True)]
        return [*parts, ("test", self.train, self.test)] if len(self.test) else parts


@dataclass(frozen=True)
class SplitSettings:
    """How samples are divided; :func:`make_split` takes the same.

    Parameters
    ----------
    method : {"random", "stratified", "group", "official", "time"}
        See :data:`METHODS`. "official" takes the folds of the data set as they are: then ``test_size``, ``n_folds`` and
        the seed divide nothing, and there is no test part.
    test_size : float
        Share of the test part, below 1; 0 for none: then the folds cover all samples. Groups come as near to it as
        their sizes allow; groups that are much larger than the test part are always for training.
    n_folds : int
        Number of folds of the cross-validation within the training part; 0 for none. When each element is left out, as
        many as there are elements, unless 0.
    group_by : str, optional
        For the method "group": a key of ``Dataset.groups``, or one of :data:`~atomprint.learn.splits.groups.GROUPS`:
        "formula", "chemical system", "structure" (for atoms), "scaffold" (of molecules), "space group", "prototype" or
        "element". With "element", the samples with one element are predicted from all others, element by element; the
        test part is all samples that have one of a few elements drawn at random. For the method "time": a key of
        ``Dataset.groups`` whose labels are numbers or ISO dates; folds then predict one stretch of time from all before
        it.

    Raises
    ------
    ValueError, TypeError
        If a value is wrong, or nothing would be tested.
    """

    method: str = "random"
    test_size: float = 0.2
    n_folds: int = 5
    group_by: str | None = None

    def __post_init__(self) -> None:
        check_choice("method", self.method, tuple(METHODS))
        test_size = check_real("test_size", self.test_size, at_least=0)
        if test_size >= 1:
            raise ValueError(f"test_size must be < 1, got {test_size:g}")
        n_folds = check_integer("n_folds", self.n_folds, 0)
        if n_folds == 1 or (n_folds == 0 and test_size == 0 and self.method != "official"):
            rule = "be 0 or at least 2" if n_folds == 1 else "not be 0 where test_size is: nothing would be tested"
            raise ValueError(f"n_folds must {rule}, got {n_folds}")

    def divide(self, problem: Problem | int, seed: int = 0) -> Split:
        """Set a test part aside, and cut the rest into folds; see :func:`make_split`."""
        if not isinstance(problem, Problem):
            problem = check_integer("problem", problem, 1)
        seed = check_integer("seed", seed, 0, 2**32 - 1)
        if self.method == "official":
            if isinstance(problem, int):
                raise ValueError("method 'official' needs a Problem, got a number of samples")
            if self.group_by is not None:
                raise ValueError(f"group_by must be None for method 'official', got {self.group_by!r}")
            return _official(problem, seed)
        partition = _partition(problem, self.method, self.group_by)
        everything = np.arange(problem if isinstance(problem, int) else len(problem))
        drawn = Drawn(everything, np.empty(0, dtype=np.intp))
        if self.test_size > 0:
            drawn = partition.draw(everything, self.test_size, seed)
        folds = Folds([])
        if self.n_folds:
            most, what = partition.limit(drawn.train)
            n_folds = max(1, most) if isinstance(partition, ElementLeftOut) else self.n_folds
            if n_folds > most:
                where = " for training" if len(drawn.test) else ""
                raise ValueError(f"n_folds must be at most {most}, {what}{where}, got {n_folds}")
            folds = partition.folds(drawn.train, n_folds, seed)
        return Split(
            np.sort(drawn.train),
            np.sort(drawn.test),
            tuple((np.sort(fit), np.sort(predict)) for fit, predict in folds.pairs),
            seed,
            self.method,
            _describe(partition, drawn, len(folds.pairs)),
            folds.names,
            self.group_by,
        )


def make_split(
    problem: Problem | int,
    method: str = SplitSettings.method,
    *,
    test_size: float = SplitSettings.test_size,
    n_folds: int = SplitSettings.n_folds,
    group_by: str | None = SplitSettings.group_by,
    seed: int = 0,
) -> Split:
    """Set a test part aside, and cut the rest into folds.

    Parameters
    ----------
    problem : Problem or int
        The samples, or for the method "random" only their number. Atoms of one structure always stay together.
    method, test_size, n_folds, group_by
        See :class:`SplitSettings`.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    Split
        Indices are in ascending order.

    Raises
    ------
    ValueError
        If the samples, classes, groups or times are too few for this, or there are no such groups or folds.

    Notes
    -----
    ``test_size=0, n_folds=5, seed=18012019`` gives the folds of Matbench: with the method "random" for regression, with
    "stratified" for classification.
    """
    return SplitSettings(method, test_size, n_folds, group_by).divide(problem, seed)


def inner_folds(
    problem: Problem | int, train: npt.ArrayLike, like: Split, n_folds: int = 5
) -> list[tuple[Indices, Indices]]:
    """Cut a training part into folds of the same kind as a split, for choices made within it.

    Parameters
    ----------
    problem : Problem or int
        The problem of the split.
    train : array-like of int
        The samples of a training part, such as those fitted in one fold.
    like : Split
        Whose method, groups and seed are used, so that for example hyperparameters are chosen for how well a model does
        on new groups. Official folds cannot be made for a part: for these, folds are stratified for classification and
        random for regression.
    n_folds : int
        Number of folds; fewer where there are not as many samples, groups, or samples of the rarest class. Elements
        left out are drawn at random.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Places in ``train`` to fit and to predict, as scikit-learn's searches take them for ``cv``.

    Raises
    ------
    ValueError
        If there are too few samples, groups or times for 2 folds.
    """
    n_folds = check_integer("n_folds", n_folds, 2)
    indices = _indices("train", train)
    method = like.method
    if method not in METHODS or method == "official":
        by_class = isinstance(problem, Problem) and problem.kind == "classification"
        method = "stratified" if by_class else "random"
    partition = _partition(problem, method, like.group_by if method in ("group", "time") else None)
    most, what = partition.limit(indices)
    if most < 2 and method == "stratified":  # a class with one sample cannot be in every part
        partition = _partition(problem, "random", None)
        most, what = partition.limit(indices)
    if most < partition.fewest_folds:
        raise ValueError(
            f"train must have enough for {partition.fewest_folds} inner folds: {what} must be at least "
            f"{partition.fewest_folds}, got {most}"
        )
    place = np.empty(int(indices.max()) + 1, dtype=np.intp)
    place[indices] = np.arange(len(indices))
    folds = partition.folds(indices, min(n_folds, most), like.seed)
    return [(np.sort(place[fit]), np.sort(place[predict])) for fit, predict in folds.pairs]


def _partition(problem: Problem | int, method: str, group_by: str | None) -> Partition:
    if (group_by is not None) != (method in ("group", "time")):
        rule = "name what keeps samples together" if method == "group" else "name a group that gives the time"
        rule = rule if method in ("group", "time") else "be None"
        raise ValueError(f"group_by must {rule} for method {method!r}, got {group_by!r}")
    if isinstance(problem, int):
        if method != "random":
            raise ValueError(f"method {method!r} needs a Problem, got a number of samples")
        return AtRandom(np.arange(problem))
    if method == "random":
        return AtRandom(problem.structures, "structures" if problem.atoms is not None else "samples")
    if method == "stratified":
        return Stratified(problem.y, problem.target.classes, problem.structures if problem.atoms is not None else None)
    assert group_by is not None
    if method == "group":
        if group_by == "element" and group_by not in problem.dataset.groups:
            return ElementLeftOut(problem.dataset.contains[problem.structures])
        return ByGroup(group_labels(problem, group_by), group_by, GROUPS.get(group_by, f"the same {group_by}"))
    if not problem.dataset.groups:
        raise ValueError(f"method 'time' needs groups in the data set, but {problem.dataset.name!r} has none")
    check_choice("group_by", group_by, tuple(problem.dataset.groups))
    labels = np.asarray(problem.dataset.groups[group_by], dtype=np.str_)[problem.structures]
    return ByTime(parse_times(labels, group_by, problem.ids), group_by)


def _official(problem: Problem, seed: int) -> Split:
    """Return the folds of the data set, mapped to samples."""
    folds = problem.dataset.folds
    if not folds:
        raise ValueError(f"method 'official' needs official folds, but {problem.dataset.name!r} has none")
    mapped = tuple(
        (np.flatnonzero(np.isin(problem.structures, fit)), np.flatnonzero(np.isin(problem.structures, predict)))
        for fit, predict in folds
    )
    train = np.unique(np.concatenate([part for fold in mapped for part in fold]))
    left = len(problem) - len(train)
    description = f"The {len(folds)} official folds of the data set" + (f"; {left} samples are in none" if left else "")
    return Split(train, np.empty(0, dtype=np.intp), mapped, seed, "official", f"{description}.")


def _describe(partition: Partition, drawn: Drawn, n_folds: int) -> str:
    parts = [
        f"{len(drawn.train)} samples for training, {len(drawn.test)} for testing"
        if len(drawn.test)
        else f"{len(drawn.train)} samples, all for cross-validation"
    ]
    if n_folds:
        folds = "fold" if n_folds == 1 else "folds"
        parts.append(f"{n_folds} {folds} within the training part" if len(drawn.test) else f"{n_folds} {folds}")
    return f"{partition.phrase}: {'; '.join(filter(None, [*parts, drawn.note]))}."


def _indices(name: str, values: Any) -> Indices:
    array = np.asarray(values)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be indices with shape (n,), got {array.dtype} with shape {array.shape}")
    array = array.astype(np.intp, copy=False)
    if len(array) and array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {array.min()}")
    if not (np.diff(array) > 0).all() and len(np.unique(array)) != len(array):  # ascending ones need no sorting
        values, counts = np.unique(array, return_counts=True)
        raise ValueError(f"{name} must hold each sample once, got sample {values[counts > 1][0]} twice")
    return array


def _check_apart(name: str, one: Indices, other_name: str, other: Indices) -> None:
    both = _within(one, other, True)
    if len(both):
        raise ValueError(
            f"{name} and {other_name} must have no sample in common, got {len(both)}, such as sample {both[0]}"
        )


def _within(part: Indices, whole: Indices, inside: bool) -> Indices:
    """Return what of a part is in the whole, or what is not."""
    known = np.zeros(max(part.max(initial=0), whole.max(initial=0)) + 1, dtype=bool)
    known[whole] = True
    return part[known[part] == inside]

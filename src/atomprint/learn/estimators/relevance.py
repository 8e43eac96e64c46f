"""How much each block of joined features weighs in the distances of a kernel: chosen by leave-one-out errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics.pairwise import euclidean_distances, manhattan_distances
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from atomprint.learn.estimators.projection import Projection
from atomprint.learn.estimators.similarity import KERNELS, subset
from atomprint.learn.estimators.twins import twins
from atomprint.learn.task.blocks import Blocks
from atomprint.util.beyond import beyond
from atomprint.util.leave_one_out import leave_one_out
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples

_ROWS = 2048  # rows that are transformed at once
# Samples by which weights are compared: half of them, but no fewer nor more. Each comparison takes their number cubed.
_FEWEST_COMPARED, _MOST_COMPARED = 500, 1000
_N_TRIALS = 60  # comparisons in all, unless many kernels or blocks ask for more
_N_FOR_EACH = 6  # comparisons for each block, at least


@public("WeightedBlock", version=1)
@dataclass(frozen=True, eq=False)
class WeightedBlock:
    """One block of features, as it enters distances.

    Parameters
    ----------
    start, stop : int
        Its first and one-past-last column.
    scaler : StandardScaler
        What centres its features (those that are sparse stay as they are) and perhaps scales them.
    projection : Projection or None
        What takes its principal components.
    factor : float
        What the result is multiplied by.
    """

    start: int
    stop: int
    scaler: StandardScaler
    projection: Projection | None
    factor: float

    def transform(self, X: Samples) -> Samples:
        """Return the block of these samples, shape (n_samples, n_features of the block or n_components)."""
        Z = self.scaler.transform(X[:, self.start : self.stop])
        return self.factor * (Z if self.projection is None else self.projection.transform(Z))

    @property
    def width(self) -> int:
        """Number of columns that come out."""
        return self.stop - self.start if self.projection is None else self.projection.n_components_


@public("WeightedBlocks", version=1)
@dataclass(frozen=True, eq=False)
class WeightedBlocks:
    """Blocks of features beside each other, each with its weight.

    Parameters
    ----------
    parts : tuple of WeightedBlock
        The blocks that have one.
    """

    parts: tuple[WeightedBlock, ...]

    def transform(self, X: Samples) -> Samples:
        """Return the weighted blocks of samples.

        Parameters
        ----------
        X : array or sparse array, shape (n_samples, n_features)
            Joined features.

        Returns
        -------
        ndarray or sparse array, shape (n_samples, n_columns)
            float32 or float64 as the features.
        """
        if sparse.issparse(X):
            return sparse.hstack([part.transform(X) for part in self.parts], format="csr")
        out = np.empty(
            (len(X), sum(part.width for part in self.parts)), np.float32 if X.dtype == np.float32 else np.float64
        )
        for rows in gen_batches(len(X), _ROWS):  # what comes in may be much wider than what comes out
            np.concatenate([part.transform(X[rows]) for part in self.parts], axis=1, out=out[rows])
        return out


class Choices(NamedTuple):
    """What can be chosen; see :class:`~atomprint.learn.KernelRidgeCV`."""

    kernels: Sequence[str]
    length_scales: Sequence[float]
    alphas: Sequence[float]
    scalings: Sequence[str]
    weights: Sequence[float]


class Relevance(NamedTuple):
    """What was chosen.

    Parameters
    ----------
    blocks : WeightedBlocks
        What makes of features those between which distances are measured.
    kernel : str
        The kernel.
    length_scales : list of float
        The length scale, with the next smaller and larger one.
    parameters : dict
        Scaling and weights for people: "weight of NAME", the largest of them 1.
    score : float
        The mean absolute leave-one-out error of the samples compared.
    n_trials : int
        How many combinations were compared.
    """

    blocks: WeightedBlocks
    kernel: str
    length_scales: list[float]
    parameters: dict[str, Any]
    score: float
    n_trials: int


def choose_relevance(
    X: Samples,
    targets: FloatArray,
    blocks: Blocks,
    choices: Choices,
    n_components: int | None,
    n_search: int,
    random_state: int | None,
) -> Relevance | None:
    r"""Choose the weights of blocks, and kernel, length scale and scalings with them.

    Each block is centred and divided by one number, such that the mean of the measure that its kernel adds up (squared
    Euclidean distance, or Manhattan distance) between samples is 1; with weights :math:`w_b` the squared distance is
    :math:`\sum_b w_b^2 d_b^2`, the Manhattan distance :math:`\sum_b w_b d_b`. This is automatic relevance determination
    [1]_ with one length scale for each block. All kernels and scalings, then length scales are tried with equal
    weights, then each block alone. From the best of these, and then from the others, one choice is changed at a time as
    long as the leave-one-out error becomes smaller, for 60 comparisons in all (more if there are many kernels or
    blocks). Only ratios of weights matter, as the unit of length is the mean distance between samples.

    Parameters
    ----------
    X : array or sparse array, shape (n_samples, n_features)
        Features of all training samples, by which blocks are centred, scaled and projected.
    targets : ndarray of float64, shape (n_samples,)
        Centred targets.
    blocks : mapping of str to (int, int)
        The blocks.
    choices : Choices
        What can be chosen.
    n_components : int or None
        Principal components of each block, at most.
    n_search : int
        How many samples are compared, at most; no more than half of them, but 500 if there are so many, and up to 1000.
    random_state : int or None
        Seed of their drawing, if there are more.

    Returns
    -------
    Relevance or None
        None for samples that are all alike, between which there is nothing to weigh.

    References
    ----------
    .. [1] C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press (2006), section
       5.1.
    """
    n_compared = min(max(X.shape[0] // 2, _FEWEST_COMPARED), _MOST_COMPARED)
    rows = subset(X.shape[0], min(n_search, n_compared), random_state)
    comparison = _Comparison(X, targets, rows, blocks, choices, n_components)
    return comparison.found(comparison.choose()) if comparison.varying else None


class _State(NamedTuple):
    """A combination; numbers are places among the sorted choices."""

    kernel: int
    scale: int
    scalings: tuple[int, ...]  # of each block
    weights: tuple[int, ...]


class _Comparison:
    """Leave-one-out errors of combinations, each computed once."""

    def __init__(
        self, X: Samples, targets: FloatArray, rows: Any, blocks: Blocks, choices: Choices, n_components: int | None
    ) -> None:
        self.X, self.rows, self.targets = X, rows, targets[rows]
        self.together = twins(X[rows], self.targets)
        self.n_components, self.choices = n_components, choices
        self.names = tuple(blocks)
        self.columns = tuple(slice(*pair) for pair in blocks.values())
        self.varying = [b for b, part in enumerate(self.columns) if _varies(X[self.rows, part])]
        given = sorted({float(scale) for scale in choices.length_scales})
        below, above = sorted(beyond(given, given[0])), list(beyond(given, given[-1]))
        self.scales, self.given = [*below, *given, *above], range(len(below), len(below) + len(given))
        self.weights = sorted({float(weight) for weight in choices.weights})
        self.parts: dict[tuple[int, int], WeightedBlock] = {}
        self.distances: dict[tuple[int, int, str], tuple[FloatArray, float]] = {}
        self.scores: dict[Any, float] = {}
        n_first = len(choices.kernels) * len(choices.scalings) + len(given)
        self.n_trials = max(_N_TRIALS, n_first + _N_FOR_EACH * len(blocks))

    def choose(self) -> _State:
        """Return the combination with the smallest error that is found."""
        n_blocks, n_kernels, n_scalings = len(self.names), len(self.choices.kernels), len(self.choices.scalings)
        one = min((w for w, weight in enumerate(self.weights) if weight > 0), key=lambda w: abs(self.weights[w] - 1))
        equal = tuple(one if b in self.varying else 0 for b in range(n_blocks))
        middle = self.given[len(self.given) // 2]
        first = [
            _State(kernel, middle, (scaling,) * n_blocks, equal)
            for scaling in range(n_scalings)
            for kernel in range(n_kernels)
        ]
        best = self.along(min(first, key=self.score), "scale", None, self.given)
        alone = [best._replace(weights=tuple(one if b == own else 0 for b in range(n_blocks))) for own in self.varying]
        for start in sorted((best, *alone), key=self.score):
            best = min(best, self.descend(start), key=self.score)
        # Beyond an end only now: a kernel that would go there first would keep the others from being tried where they
        # are best.
        self.n_trials += len(self.scales) - len(self.given)
        return self.along(best, "scale", None, range(len(self.scales)))

    def descend(self, state: _State) -> _State:
        """Change one choice at a time for the better, until there is no better one."""
        while True:
            before = state
            for block in self.varying:
                state = self.along(state, "weights", block, range(len(self.weights)))
            state = self.along(state, "scale", None, self.given)
            if self.score(state) < self.score(before):
                continue
            for block in self.varying:
                state = self.along(state, "scalings", block, range(len(self.choices.scalings)))
            state = self.kernels_near(state)
            if not self.score(state) < self.score(before):
                return before

    def kernels_near(self, state: _State) -> _State:
        """Try the other kernels, which reach differently far, with the length scale and those next to it."""
        others = (
            state._replace(kernel=kernel, scale=scale)
            for kernel in range(len(self.choices.kernels))
            for scale in range(max(self.given.start, state.scale - 1), min(self.given.stop, state.scale + 2))
        )
        return min((state, *others), key=self.score)

    def along(self, state: _State, name: str, block: int | None, places: range) -> _State:
        """Go up and down among sorted choices as long as the error becomes smaller; try to drop a block, too."""

        def at(place: int) -> _State:
            value: Any = place
            if block is not None:
                places = list(getattr(state, name))
                places[block] = place
                value = tuple(places)
            changed: dict[str, Any] = {name: value}
            return state._replace(**changed)

        here = getattr(state, name) if block is None else getattr(state, name)[block]
        best = state
        for path in (range(here + 1, places.stop), range(here - 1, places.start - 1, -1)):
            for place in path:
                if not self.score(at(place)) < self.score(best):
                    break
                best = at(place)
        return min(best, at(0), key=self.score) if name == "weights" else best

    def score(self, state: _State) -> float:
        """Return the smallest error among the regularisations; infinity if there were comparisons enough."""
        weights = self.relative(state)
        if not weights:
            return np.inf
        key = (state.kernel, state.scale, tuple((b, state.scalings[b], weight) for b, weight in weights.items()))
        if key not in self.scores:
            if len(self.scores) >= self.n_trials:
                return np.inf
            self.scores[key] = self.error(*key)
        return self.scores[key]

    def relative(self, state: _State) -> dict[int, float]:
        """Return the weights of the blocks that have one, the largest of them 1: only their ratios matter."""
        weights = {b: self.weights[state.weights[b]] for b in self.varying}
        largest = max(weights.values(), default=0.0)
        return {b: weight / largest for b, weight in weights.items() if weight > 0}

    def error(self, kernel: int, scale: int, parts: Sequence[tuple[int, int, float]]) -> float:
        """Return the error of some blocks with their scalings and weights."""
        metric, similarity = KERNELS[self.choices.kernels[kernel]]
        n = len(self.targets)
        total = np.zeros((n, n))
        for block, scaling, weight in parts:
            measured, _ = self.measured(block, scaling, metric)
            total += (weight**2 if metric == "euclidean" else weight) * measured
        distances = np.sqrt(total) if metric == "euclidean" else total
        unit = float(distances.sum() / (n * (n - 1)))
        return leave_one_out(
            similarity(distances / (self.scales[scale] * unit)), self.targets, self.choices.alphas, self.together
        )[0]

    def measured(self, block: int, scaling: int, metric: str) -> tuple[FloatArray, float]:
        """Return what a kernel adds up between the samples compared, with mean 1, and the factor that makes it so."""
        key = (block, scaling, metric)
        if key not in self.distances:
            Z = self.part(block, scaling).transform(self.X[self.rows]).astype(np.float64, copy=False)
            squared = metric == "euclidean"
            found = euclidean_distances(Z, squared=True) if squared else manhattan_distances(Z)
            mean = float(found.sum() / (len(found) * (len(found) - 1)))
            self.distances[key] = found / mean, float(1 / np.sqrt(mean) if squared else 1 / mean)
        return self.distances[key]

    def part(self, block: int, scaling: int) -> WeightedBlock:
        """Return a block centred, scaled and projected by all training samples, with factor 1."""
        key = (block, scaling)
        if key not in self.parts:
            columns = self.columns[block]
            given = self.X[:, columns]
            scaler = _scaler(given, self.choices.scalings[scaling] == "standard")
            projection = None
            if self.n_components is not None and self.n_components < given.shape[1]:
                projection = Projection(self.n_components).fit(scaler.transform(given))
            self.parts[key] = WeightedBlock(columns.start, columns.stop, scaler, projection, 1.0)
        return self.parts[key]

    def found(self, state: _State) -> Relevance:
        """Return a combination for samples to come."""
        kernel = self.choices.kernels[state.kernel]
        parts, scalings, weights = [], {}, dict.fromkeys(self.names, 0.0)
        for block, weight in self.relative(state).items():
            name, scaling = self.names[block], state.scalings[block]
            factor = weight * self.measured(block, scaling, KERNELS[kernel][0])[1]
            parts.append(replace(self.part(block, scaling), factor=factor))
            weights[name], scalings[name] = weight, self.choices.scalings[scaling]
        parameters: dict[str, Any] = {f"scaling of {name}": scaling for name, scaling in scalings.items()}
        if len(set(scalings.values())) == 1:
            parameters = {"scaling": next(iter(scalings.values()))}
        if len(self.names) > 1:
            parameters |= {f"weight of {name}": weight for name, weight in weights.items()}
        near = self.scales[max(0, state.scale - 1) : state.scale + 2]
        return Relevance(WeightedBlocks(tuple(parts)), kernel, near, parameters, self.score(state), len(self.scores))


def _scaler(X: Samples, with_std: bool) -> StandardScaler:
    """Return what centres features and perhaps scales them; it sees a few rows at a time, as it makes copies."""
    scaler = StandardScaler(with_mean=not sparse.issparse(X), with_std=with_std)
    for rows in gen_batches(X.shape[0], _ROWS):
        scaler.partial_fit(X[rows])
    return scaler


def _varies(X: Samples) -> bool:
    """Return whether samples differ by more than rounding in any feature."""
    scaler = _scaler(X, with_std=True)
    precision = np.finfo(np.float32 if X.dtype == np.float32 else np.float64).eps
    return bool((np.sqrt(scaler.var_) > 10 * precision * np.abs(scaler.mean_)).any())

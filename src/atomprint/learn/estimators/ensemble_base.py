"""Fitting the members of an ensemble, and finding out how much each of them counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit, check_cv
from sklearn.utils import Tags, _safe_indexing, assert_all_finite, column_or_1d, get_tags, indexable
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from atomprint.learn.estimators.ensemble_weights import calm_weights
from atomprint.util.types import Array, Estimator, FloatArray, Indices, Samples, Targets
from atomprint.util.validation import check_choice, check_integer, check_real


class Ensemble(_BaseComposition):
    """What ensembles for numbers and for classes have in common."""

    combinations: ClassVar[tuple[str, ...]] = ("weights", "mean", "best")
    criteria: ClassVar[Mapping[str, str]]  # what decides, for those of the combinations that choose
    members: Sequence[tuple[str, Estimator]]
    combine: str
    n_folds: int
    holdout: float
    cv: Any
    random_state: int | None
    learnt_anew: Callable[[Indices], Samples] | None = None
    """Where features are learnt from targets, during ``fit``: from samples of an inner fit to the features of all."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; members and theirs by name, such as ``forest`` and ``forest__max_depth``."""
        return dict(self._get_params("members", deep=deep))

    def set_params(self, **params: Any) -> Self:
        """Set parameters; members can be replaced by name."""
        self._set_params("members", **params)
        return self

    @property
    def needs_folds(self) -> bool:
        """Whether members are fitted to parts of the samples, to be compared by the others."""
        return self.combine in self.criteria and len(self.members) > 1

    def check_parameters(self) -> None:
        """Raise ValueError or TypeError if a parameter is wrong or a member is of the wrong kind."""
        check_choice("combine", self.combine, self.combinations)
        check_integer("n_folds", self.n_folds, 1)
        if check_real("holdout", self.holdout, above=0) > 0.5:
            raise ValueError(f"holdout must be <= 0.5, got {self.holdout:g}")
        if len(self.members) == 0:
            raise ValueError("members must hold at least one pair of a name and an estimator, got none")
        for entry in self.members:
            if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[0], str):
                raise TypeError(f"members must be pairs of a name and an estimator, got {entry!r}")
        self._validate_names([name for name, _ in self.members])
        for name, member in self.members:
            self._check_member(name, member)
            if get_tags(member).input_tags.pairwise:
                raise ValueError(f"members must take features, but {name!r} takes a kernel between samples")

    def fit(self, X: Samples, y: Targets) -> Self:
        """Find out how much each member counts, and fit those that count to all samples.

        Parameters
        ----------
        X : array, sparse array or sequence, shape (n_samples, ...)
            Features, or whatever the members take.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self
        """
        self.check_parameters()
        X, y = indexable(X, column_or_1d(y, warn=True))
        assert_all_finite(y, input_name="y")
        y = self._learn_targets(y)
        names = [name for name, _ in self.members]
        self.scores_: dict[str, float] = {}
        weights = np.full(len(names), 1 / len(names))
        if self.needs_folds:
            rows, guesses = self._out_of_fold(X, y)
            truth = y[rows]
            scores = [self._score(guess, truth) for guess in guesses]
            self.scores_ = dict(zip(names, scores, strict=True))
            if self.combine == "best":
                weights = np.eye(len(names))[int(np.argmax(scores))]
            elif self.combine == "weights":
                weights = calm_weights(
                    lambda rows: self._best_weights(guesses[:, rows], truth[rows]), len(truth), self.random_state
                )
            self._learn_combination(np.tensordot(weights, guesses, 1), truth)
        self.weights_ = dict(zip(names, map(float, weights), strict=True))
        self.members_ = {name: self._fitted(name, member, X, y) for name, member in self.members if self.weights_[name]}
        for attribute in ("n_features_in_", "feature_names_in_"):
            found = getattr(next(iter(self.members_.values())), attribute, None)
            if found is not None:
                setattr(self, attribute, found)
        return self

    def member_predictions(self, X: Samples) -> tuple[FloatArray, FloatArray]:
        """Return the weights of the members that count, and what each predicts.

        Parameters
        ----------
        X : array, sparse array or sequence, shape (n_samples, ...)
            Features, or whatever the members take.

        Returns
        -------
        weights : ndarray of float64, shape (n_members,)
            Not zero, with the sum 1.
        predictions : ndarray of float64, shape (n_members, n_samples) or (n_members, n_samples, n_classes)
            Numbers, or probabilities of classes.
        """
        check_is_fitted(self)
        weights = np.array([self.weights_[name] for name in self.members_])
        return weights, np.array([self._predictions(member, X) for member in self.members_.values()])

    def in_words(self) -> str:
        """Return what a fitted ensemble is, such as "weighted mean of forest (0.70) and ridge (0.30)"."""
        check_is_fitted(self)
        if len(self.members) == 1:
            return next(iter(self.members_))
        if self.combine not in self.criteria:
            return f"{self.combine} of {_listed(list(self.weights_))}"
        where = "a part held out of the training part" if self.n_folds == 1 else "inner folds of the training part"
        how = f", by the {self.criteria[self.combine]} on {where}"
        if self.combine == "best":
            return f"{next(iter(self.members_))}, the best of {_listed(list(self.weights_))}{how}"
        told = [f"{name} ({weight:.2f})" for name, weight in self.weights_.items() if weight]
        left = [name for name, weight in self.weights_.items() if not weight]
        without = f", without {_listed(left)}" if left else ""
        return f"weighted mean of {_listed(told)}{without}{how}"

    def _fitted(self, name: str, member: Estimator, X: Samples, y: Array) -> Estimator:
        with _named(name):
            return clone(member).fit(X, y)

    def _out_of_fold(self, X: Samples, y: Array) -> tuple[Indices, FloatArray]:
        """Return samples, some of which may be missing or occur twice, and what each member predicts for them."""
        folds = list(self._folds(y) if self.cv is None else check_cv(self.cv, y, classifier=False).split(X, y))
        parts = []
        for fit, predict in folds:
            table = X if self.learnt_anew is None else self.learnt_anew(fit)
            seen, unseen = _safe_indexing(table, fit), _safe_indexing(table, predict)
            guesses = []
            for name, member in self.members:
                model = self._fitted(name, member, seen, y[fit])
                with _named(name):
                    guess = self._predictions(model, unseen)
                    if not np.isfinite(guess).all():
                        raise ValueError(f"predictions must be finite, got {guess[~np.isfinite(guess)][0]}")
                guesses.append(guess)
            parts.append(np.array(guesses))
        return np.concatenate([predict for _, predict in folds]), np.concatenate(parts, axis=1)

    def _folds(self, y: Array) -> Iterator[tuple[Indices, Indices]]:
        """Yield inner folds of samples that are independent of each other."""
        rarest = int(np.unique(y, return_counts=True)[1].min()) if is_classifier(self) else 0
        if self.n_folds == 1:
            drawn = StratifiedShuffleSplit if rarest > 1 else ShuffleSplit
            splitter: Any = drawn(1, test_size=self.holdout, random_state=self.random_state)
        else:
            dealt = StratifiedKFold if rarest > 1 else KFold
            n_folds = min(self.n_folds, rarest if rarest > 1 else max(2, len(y)))
            splitter = dealt(n_folds, shuffle=True, random_state=self.random_state)
        yield from splitter.split(y, y)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        known = [get_tags(member).input_tags for _, member in self.members]
        tags.input_tags.sparse = all(given.sparse for given in known)
        tags.input_tags.allow_nan = all(given.allow_nan for given in known)
        return tags

    # What the two kinds differ in

    @abstractmethod
    def _check_member(self, name: str, member: Estimator) -> None:
        """Raise if a member is of the wrong kind."""

    @abstractmethod
    def _learn_targets(self, y: Array) -> Array:
        """Return the targets as members are given them, and keep what there is to know about them."""

    @abstractmethod
    def _predictions(self, member: Estimator, X: Samples) -> FloatArray:
        """Return what is combined: numbers, or probabilities of classes."""

    @abstractmethod
    def _score(self, guess: FloatArray, truth: Array) -> float:
        """Return how good a member is; larger is better."""

    @abstractmethod
    def _best_weights(self, guesses: FloatArray, truth: Array) -> FloatArray:
        """Return weights of members, shape (n_members,)."""

    def _learn_combination(self, guess: FloatArray, truth: Array) -> None:
        """Learn from the combined predictions of samples that members have not seen, if there is anything to learn."""


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which member could not be fitted to the samples given."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"member {name!r}: {error}") from error


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""Classifiers whose decision is made for a figure of merit, by probabilities of samples that were held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_regressor
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import Tags, assert_all_finite, get_tags, indexable
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from atomprint.learn.estimators.decision import FIGURES, best_thresholds, decide, given_threshold
from atomprint.util.registry import public
from atomprint.util.types import Array, Estimator, FloatArray, Indices, Samples, Targets
from atomprint.util.validation import check_choice, check_integer, check_real

# Up to how many samples: inner folds by which thresholds are chosen; 1 is a single part held out.
_INNER_FOLDS = ((500, 5), (2000, 3), (np.inf, 1))
HOLDOUT = 0.2  # share of that part


def check_threshold(threshold: Any) -> None:
    """Raise ValueError or TypeError unless a threshold is a figure of merit or a number between 0 and 1."""
    if isinstance(threshold, str):
        check_choice("threshold", threshold, FIGURES)
    elif not 0 < check_real("threshold", threshold) < 1:
        raise ValueError(f"threshold must be between 0 and 1, or one of {', '.join(FIGURES)}, got {threshold}")


def thresholds_for(
    threshold: float | str, n_classes: int, probabilities: FloatArray | None = None, truth: Indices | None = None
) -> FloatArray:
    """Return the thresholds of classes that are given, or chosen by held-out samples; see :func:`best_thresholds`."""
    if isinstance(threshold, str):
        assert probabilities is not None
        assert truth is not None
        return best_thresholds(probabilities, truth, threshold)[0]
    if n_classes != 2:
        raise ValueError(f"threshold: a number is for two classes, got {n_classes}: name a figure of merit")
    return given_threshold(float(threshold))


def columns_of(probabilities: Any, known: Array, classes: Array) -> FloatArray:
    """Return probabilities with a column for each of the classes, of a model that may not know all of them."""
    given = np.asarray(probabilities, dtype=np.float64)
    found = np.zeros((len(given), len(classes)))
    found[:, np.searchsorted(classes, known)] = given
    return found


@public("ThresholdClassifier", version=1)
class ThresholdClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that predicts the class with the largest probability in units of its threshold.

    Thresholds are chosen in ``fit`` for a figure of merit, by probabilities of samples in inner folds, so that an outer
    cross-validation stays honest. Probabilities stay what they are.

    Parameters
    ----------
    classifier : estimator
        A classifier with probabilities.
    threshold : float or {"balanced_accuracy", "accuracy", "f1", "mcc"}
        What the probability of the second of two classes must exceed, or the figure of merit that is to be largest.
    n_folds : int, optional
        Inner folds; 1 for a single part held out. Default: 5 up to 500 samples, 3 up to 2000, then 1.
    cv : cross-validation generator or list of (ndarray, ndarray), optional
        Inner folds in place of ``n_folds`` shuffled and stratified ones. Where none are given,
        :func:`~atomprint.learn.evaluate` makes them of the same kind as those of its split.
    random_state : int, optional
        Seed of the inner folds; the classifier has its own.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes.
    classifier_ : estimator
        The classifier, fitted to all samples.
    thresholds_ : ndarray of float64, shape (n_classes,)
        Thresholds of the classes, with the sum 1; of two classes the second is predicted if its probability exceeds
        the second one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.arange(40.0)[:, None]
    >>> model = ThresholdClassifier(LogisticRegression(), 0.9).fit(X, X[:, 0] > 20)
    >>> model.predict([[20.7], [30.0]])
    array([False,  True])
    """

    # Where features are learnt from targets: gives those of all samples, learnt from the targets of some.
    learnt_anew: Callable[[Indices], Samples] | None = None

    def __init__(
        self,
        classifier: Estimator,
        threshold: float | str = "balanced_accuracy",
        *,
        n_folds: int | None = None,
        cv: Any = None,
        random_state: int | None = None,
    ) -> None:
        self.classifier = classifier
        self.threshold = threshold
        self.n_folds = n_folds
        self.cv = cv
        self.random_state = random_state

    @property
    def needs_folds(self) -> bool:
        """Whether the classifier is fitted to parts of the samples, for probabilities of the others."""
        return isinstance(self.threshold, str)

    def inner_folds_for(self, n_samples: int) -> int:
        """Return the number of inner folds for so many samples; 1 for a single part held out."""
        if self.n_folds is not None:
            return self.n_folds
        return next(n_folds for most, n_folds in _INNER_FOLDS if n_samples <= most)

    def check_parameters(self) -> None:
        """Raise ValueError or TypeError if a parameter is wrong or the classifier has no probabilities."""
        check_threshold(self.threshold)
        if self.n_folds is not None:
            check_integer("n_folds", self.n_folds, 1)
        if is_regressor(self.classifier):
            raise ValueError(f"classifier must be a classifier, got {type(self.classifier).__name__}")
        if not hasattr(self.classifier, "predict_proba"):
            name = type(self.classifier).__name__
            raise ValueError(f"threshold needs probabilities of classes, but {name} has no predict_proba")

    def fit(self, X: Samples, y: Targets) -> Self:
        """Choose thresholds by inner folds, and fit the classifier to all samples.

        Parameters
        ----------
        X : array, sparse array or sequence, shape (n_samples, ...)
            Features, or whatever the classifier takes.
        y : array of shape (n_samples,)
            Classes.

        Returns
        -------
        self
        """
        self.check_parameters()
        X, y = indexable(X, column_or_1d(y, warn=True))
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classifier_ = clone(self.classifier).fit(X, y)
        self.classes_ = self.classifier_.classes_
        held = self._held_out(X, y) if self.needs_folds and len(self.classes_) > 1 else None
        self.thresholds_ = np.full(len(self.classes_), 1 / len(self.classes_))
        if held is not None or not self.needs_folds:
            self.thresholds_ = thresholds_for(self.threshold, len(self.classes_), *(held or ()))
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.classifier_, attribute):
                setattr(self, attribute, getattr(self.classifier_, attribute))
        return self

    def predict(self, X: Samples) -> Array:
        """Predict the classes of samples, shape (n_samples,)."""
        p = self.predict_proba(X)
        return np.asarray(self.classes_[decide(p, self.thresholds_)])

    def predict_proba(self, X: Samples) -> FloatArray:
        """Predict the probabilities of classes, shape (n_samples, n_classes); thresholds have no part in them."""
        check_is_fitted(self)
        return np.asarray(self.classifier_.predict_proba(X), dtype=np.float64)

    def _held_out(self, X: Samples, y: Array) -> tuple[FloatArray, Indices] | None:
        """Return probabilities of held-out samples, and places of their classes; None if no fold has classes."""
        probabilities, truth = [], []
        folds = self._folds(y) if self.cv is None else check_cv(self.cv, y, classifier=True).split(X, y)
        for fit, held in folds:
            if len(np.unique(y[fit])) < 2:  # a model of one class knows nothing to divide by
                continue
            table = X if self.learnt_anew is None else self.learnt_anew(fit)
            model = clone(self.classifier)
            model.fit(*_safe_split(model, table, y, fit))
            unseen, _ = _safe_split(model, table, y, held, fit)
            probabilities.append(columns_of(model.predict_proba(unseen), model.classes_, self.classes_))
            truth.append(np.searchsorted(self.classes_, y[held]))
        return (np.concatenate(probabilities), np.concatenate(truth)) if truth else None

    def _folds(self, y: Array) -> Any:
        """Return inner folds of samples that are independent of each other."""
        rarest = int(np.unique(y, return_counts=True)[1].min())
        n_folds = self.inner_folds_for(len(y))
        parts = round(1 / HOLDOUT) if n_folds == 1 else n_folds
        dealt = StratifiedKFold if rarest > 1 else KFold
        parts = min(parts, rarest if rarest > 1 else len(y))
        folds = list(dealt(parts, shuffle=True, random_state=self.random_state).split(y, y))
        return folds[-1:] if n_folds == 1 else folds

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        given = get_tags(self.classifier)
        tags.input_tags = given.input_tags
        tags.classifier_tags = given.classifier_tags
        return tags

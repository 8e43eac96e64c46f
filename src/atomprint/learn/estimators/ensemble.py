"""Ensembles of different models, which are chosen and weighted by samples that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier, is_regressor
from sklearn.metrics import mean_absolute_error, recall_score
from sklearn.utils.multiclass import check_classification_targets

from atomprint.learn.estimators.decision import best_thresholds, decide
from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.estimators.ensemble_weights import absolute_error_weights, likelihood_weights
from atomprint.learn.estimators.threshold import check_threshold, columns_of, thresholds_for
from atomprint.util.registry import public
from atomprint.util.types import Array, Estimator, FloatArray, Samples
from atomprint.util.validation import check_bool


@public("EnsembleRegressor", version=1)
class EnsembleRegressor(RegressorMixin, Ensemble):
    """A few different regressors together: weighted, averaged, or the best of them.

    Whatever is chosen is chosen in ``fit``, by predictions of training samples in inner folds, so that an outer
    cross-validation stays honest. Members are fitted one after the other; each may use threads of its own.

    Parameters
    ----------
    members : sequence of (str, estimator)
        Names and regressors, each with its own imputation and scaling. Searches within a member make folds of their
        own.
    combine : {"weights", "mean", "median", "best"}
        Weighted mean with the weights, not negative and with the sum 1, whose mean absolute error over the inner folds
        is smallest (:func:`absolute_error_weights`), averaged over halves of these samples (:func:`calm_weights`);
        members that hardly help have none. Mean or median of all, which need no inner folds; or only the member with
        the smallest mean absolute error over them.
    n_folds : int
        Inner folds; 1 for a single part held out, which is cheap for large data. All members that count are fitted to
        all samples afterwards.
    holdout : float
        About the share of samples that is held out for ``n_folds=1``; at most 0.5.
    cv : cross-validation generator or list of (ndarray, ndarray), optional
        Inner folds in place of ``n_folds`` shuffled ones, such as those of
        :func:`~atomprint.learn.inner_folds`. Where none are given, :func:`~atomprint.learn.evaluate` makes them of the
        same kind as those of its split.
    clip : bool
        Whether predictions of members stay between the smallest and the largest training target; for example, band gaps
        are never negative then.
    random_state : int, optional
        Seed of the inner folds; members have their own.

    Attributes
    ----------
    weights_ : dict of str to float
        Weight of each member by its name; those of the median are all the same.
    members_ : dict of str to estimator
        Those with a weight that is not 0, fitted to all samples.
    scores_ : dict of str to float
        Minus the mean absolute error of each member over the inner folds; empty if there are none.
    y_min_, y_max_ : float
        Range of the training targets.
    n_features_in_ : int
        Number of features, where members know it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> X = np.arange(40.0)[:, None]
    >>> members = [("line", LinearRegression()), ("nearest", KNeighborsRegressor())]
    >>> EnsembleRegressor(members, combine="best", random_state=0).fit(X, 3 * X[:, 0]).weights_
    {'line': 1.0, 'nearest': 0.0}
    """

    combinations = ("weights", "mean", "median", "best")
    criteria = MappingProxyType({"weights": "mean absolute error", "best": "mean absolute error"})

    def __init__(
        self,
        members: Sequence[tuple[str, Estimator]],
        combine: str = "weights",
        *,
        n_folds: int = 5,
        holdout: float = 0.1,
        cv: Any = None,
        clip: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.members = members
        self.combine = combine
        self.n_folds = n_folds
        self.holdout = holdout
        self.cv = cv
        self.clip = clip
        self.random_state = random_state

    def predict(self, X: Samples) -> FloatArray:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array, sparse array or sequence, shape (n_samples, ...)
            Features, or whatever the members take.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        return self.combined(*self.member_predictions(X))

    def combined(self, weights: FloatArray, guesses: FloatArray) -> FloatArray:
        """Return the prediction that weights and predictions of members, as in :meth:`member_predictions`, make."""
        return np.asarray(np.median(guesses, axis=0) if self.combine == "median" else weights @ guesses)

    def limited(self, guess: FloatArray) -> FloatArray:
        """Return predictions of a member, cut off at the range of the training targets if that was asked for."""
        return np.clip(guess, self.y_min_, self.y_max_) if self.clip else guess

    def check_parameters(self) -> None:
        """Raise ValueError or TypeError if a parameter is wrong or a member is no regressor."""
        check_bool("clip", self.clip)
        super().check_parameters()

    def _check_member(self, name: str, member: Estimator) -> None:
        if is_classifier(member) and not is_regressor(member):
            raise ValueError(f"members must be regressors, but {name!r} is a classifier")

    def _learn_targets(self, y: Array) -> Array:
        y = np.asarray(y, dtype=np.float64)
        self.y_min_, self.y_max_ = float(y.min()), float(y.max())
        return y

    def _predictions(self, member: Estimator, X: Samples) -> FloatArray:
        return self.limited(np.asarray(member.predict(X), dtype=np.float64))

    def _score(self, guess: FloatArray, truth: Array) -> float:
        return -float(mean_absolute_error(truth, guess))

    def _best_weights(self, guesses: FloatArray, truth: Array) -> FloatArray:
        return absolute_error_weights(guesses, truth)


@public("EnsembleClassifier", version=2)
class EnsembleClassifier(ClassifierMixin, Ensemble):
    """A few different classifiers together: weighted, averaged, or the best of them.

    Whatever is chosen is chosen in ``fit``, by predictions of training samples in inner folds, so that an outer
    cross-validation stays honest. Members are fitted one after the other; each may use threads of its own.

    Parameters
    ----------
    members : sequence of (str, estimator)
        Names and classifiers with probabilities, each with its own imputation and scaling. Searches within a member
        make folds of their own.
    combine : {"weights", "mean", "best"}
        Weighted mean of probabilities with the weights, not negative and with the sum 1, that make the classes of
        samples in the inner folds most likely (:func:`likelihood_weights`), averaged as there; mean of all, which needs
        no inner folds; or only the member with the largest balanced accuracy over them.
    n_folds : int
        Inner folds; 1 for a single part held out, which is cheap for large data. All members that count are fitted to
        all samples afterwards.
    holdout : float
        About the share of samples that is held out for ``n_folds=1``; at most 0.5.
    cv : cross-validation generator or list of (ndarray, ndarray), optional
        Inner folds in place of ``n_folds`` shuffled and stratified ones; see :class:`EnsembleRegressor`.
    threshold : float or {"balanced_accuracy", "accuracy", "f1", "mcc"}, optional
        What the probability of the second of two classes must exceed; or the figure of merit for which thresholds of
        the classes are chosen by the inner folds, see
        :class:`~atomprint.learn.estimators.threshold.ThresholdClassifier`. Probabilities stay what they are. Default:
        the class with the largest probability.
    random_state : int, optional
        Seed of the inner folds; members have their own.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes.
    weights_ : dict of str to float
        Weight of each member by its name.
    members_ : dict of str to estimator
        Those with a weight that is not 0, fitted to all samples.
    scores_ : dict of str to float
        Balanced accuracy of each member over the inner folds, or the figure that ``threshold`` names, with the best
        thresholds of its own; empty if there are no inner folds.
    thresholds_ : ndarray of float64, shape (n_classes,)
        Thresholds of the classes, in units of which the largest probability is looked for; all equal without
        ``threshold``.
    n_features_in_ : int
        Number of features, where members know it.
    """

    criteria = MappingProxyType({"weights": "likelihood", "best": "balanced accuracy"})

    def __init__(
        self,
        members: Sequence[tuple[str, Estimator]],
        combine: str = "weights",
        *,
        n_folds: int = 5,
        holdout: float = 0.1,
        cv: Any = None,
        threshold: float | str | None = None,
        random_state: int | None = None,
    ) -> None:
        self.members = members
        self.combine = combine
        self.n_folds = n_folds
        self.holdout = holdout
        self.cv = cv
        self.threshold = threshold
        self.random_state = random_state

    def predict(self, X: Samples) -> Array:
        """Predict the classes of samples, shape (n_samples,)."""
        p = self.predict_proba(X)
        return np.asarray(self.classes_[decide(p, self.thresholds_)])

    def predict_proba(self, X: Samples) -> FloatArray:
        """Predict the probabilities of classes, shape (n_samples, n_classes)."""
        weights, guesses = self.member_predictions(X)
        return np.asarray(np.tensordot(weights, guesses, 1))

    @property
    def needs_folds(self) -> bool:
        """Whether members are fitted to parts of the samples, to be compared by the others, or for thresholds."""
        return super().needs_folds or isinstance(self.threshold, str)

    def check_parameters(self) -> None:
        """Raise ValueError or TypeError if a parameter is wrong or a member is no classifier with probabilities."""
        if self.threshold is not None:
            check_threshold(self.threshold)
        super().check_parameters()

    def _check_member(self, name: str, member: Estimator) -> None:
        if is_regressor(member) and not is_classifier(member):
            raise ValueError(f"members must be classifiers, but {name!r} is a regressor")
        if not hasattr(member, "predict_proba"):
            raise ValueError(f"members must give probabilities of classes, but {name!r} has no predict_proba")

    def _learn_targets(self, y: Array) -> Array:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.thresholds_ = np.full(len(self.classes_), 1 / max(1, len(self.classes_)))
        if self.threshold is not None and not isinstance(self.threshold, str):
            self.thresholds_ = thresholds_for(self.threshold, len(self.classes_))
        return y

    def _predictions(self, member: Estimator, X: Samples) -> FloatArray:
        # A class that is not among the samples of an inner fit has no column of its own.
        return columns_of(member.predict_proba(X), member.classes_, self.classes_)

    def _score(self, guess: FloatArray, truth: Array) -> float:
        if isinstance(self.threshold, str):
            return best_thresholds(guess, np.searchsorted(self.classes_, truth), self.threshold)[1]
        # The balanced accuracy, which scikit-learn warns of where a class is predicted that does not occur.
        labels, found = np.unique(truth), self.classes_[decide(guess, self.thresholds_)]
        return float(recall_score(truth, found, labels=labels, average="macro", zero_division=0))

    def _best_weights(self, guesses: FloatArray, truth: Array) -> FloatArray:
        return likelihood_weights(guesses[:, np.arange(len(truth)), np.searchsorted(self.classes_, truth)])

    def _learn_combination(self, guess: FloatArray, truth: Array) -> None:
        if isinstance(self.threshold, str):
            places = np.searchsorted(self.classes_, truth)
            self.thresholds_ = thresholds_for(self.threshold, len(self.classes_), guess, places)

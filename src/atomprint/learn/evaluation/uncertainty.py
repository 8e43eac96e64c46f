"""How far to trust a prediction: intervals and sets of classes that hold the truth as often as they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from atomprint.learn.evaluation.evaluate import Evaluation, Fold
from atomprint.learn.evaluation.intervals import Calibration, Uncertainty
from atomprint.learn.evaluation.quantile import conformal_quantile, groups_of
from atomprint.learn.evaluation.scaled import Scaled, by_difficulty
from atomprint.learn.models.doubt import as_logs
from atomprint.learn.splits.split import Split
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import Metric
from atomprint.learn.task.problem import Problem
from atomprint.util.types import FloatArray, Indices, Mask
from atomprint.util.validation import check_real

_LEVELS = (0.05, *(round(0.1 * k, 1) for k in range(1, 10)), 0.95, 0.99)


def conformal(
    evaluation: Evaluation, problem: Problem, split: Split, level: float = 0.9, features: Features | None = None
) -> Uncertainty:
    r"""Return intervals or sets of classes for all predictions of a model, by split conformal prediction.

    Regression: the interval is :math:`\hat{y} \pm q`, with *q* the :math:`\lceil (n + 1) \cdot level \rceil`-th
    smallest of *n* absolute residuals of samples that the model had not seen [1]_ [2]_. For the test part these are
    all residuals of the cross-validation; for the samples of a fold those of the other folds, so that no interval is
    made with its own truth. Normalised intervals are :math:`\hat{y} \pm q \sigma(x)` with residuals divided by the
    model's own standard deviation :math:`\sigma(x)` ([2]_, section 5.2).

    With ``features`` intervals are as wide as samples are difficult, see
    :func:`~atomprint.learn.evaluation.scaled.by_difficulty`, unless there are too few errors to learn that from, or
    intervals get no narrower. They end at what the target cannot be less than, such as 0 for a band gap. Where the
    model learns logarithms, residuals are those of logarithms, and intervals reach from :math:`\hat{y} / e^q` to
    :math:`\hat{y} e^q`: whether the truth is inside is the same for both.

    Classification: a class is in the set if its probability *p* is large enough, :math:`1 - p \le q_c`, with
    :math:`q_c` as above from the scores :math:`1 - p_c` of the samples of class *c* ("Mondrian" [1]_), so that the
    level holds for each class, however rare.

    Where a split keeps groups of samples together, and for the atoms of a structure, residuals of one group are alike
    and worth less than as many independent ones: a few groups would give intervals that are too narrow for a new group.
    Then each group has the weight 1 / (number of groups + 1), shared by its residuals [4]_; the level holds for a
    sample of a group drawn at random.

    Residuals come from models fitted to slightly fewer samples than the one whose predictions they bound, which makes
    intervals a little too wide, if anything; the exact guarantee of [2]_ for a single division, or of [3]_ for a
    cross-validation (jackknife+, CV+: at least 2 level - 1), is not claimed. That is why coverage is measured.

    Parameters
    ----------
    evaluation : Evaluation
        A model, with cross-validation.
    problem : Problem
        The samples.
    split : Split
        The split of the evaluation.
    level : float
        The share of samples whose truth is to be inside, between 0 and 1.
    features : Features, optional
        Features of all samples, by which they are compared. Default: all intervals are equally wide.

    Returns
    -------
    Uncertainty
        What is not defined, such as intervals from fewer residuals than the level needs, has a reason in place of a
        value.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, Springer (2005), chapters 2 and 4.
    .. [2] J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive inference for
       regression", J. Am. Stat. Assoc. 113, 1094 (2018).
    .. [3] R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, "Predictive inference with the jackknife+",
       Ann. Stat. 49, 486 (2021).
    .. [4] Y. Lee, R. F. Barber, R. Willett, "Distribution-free inference with hierarchical data", arXiv:2306.06342
       (2023).
    """
    level = check_real("level", level, above=0)
    if level >= 1:
        raise ValueError(f"level must be < 1, got {level:g}")
    if problem.kind == "classification":
        return _sets(evaluation, problem, split, level)
    of_logs = evaluation.of_logs and _all_positive(evaluation, problem)
    if of_logs:  # all is done with logarithms; ends of intervals are then what has these
        evaluation, problem = _logs(evaluation), replace(problem, y=np.log(problem.y))
    plain = _intervals(evaluation, problem, split, level, _of_one_width(evaluation, problem, split), of_logs)
    if all(fold.y_std is not None and (fold.y_std > 0).any() for _, fold in evaluation.parts()) and evaluation.folds:
        own = _of_one_width(evaluation, problem, split, normalised=True)
        plain = replace(plain, normalised=_intervals(evaluation, problem, split, level, own, of_logs))
    if features is None:
        return plain
    found = by_difficulty(evaluation, problem, split, features, level, _groups_out_of_fold(evaluation, problem, split))
    if isinstance(found, str):
        return replace(plain, why_constant=found)
    scaled = _intervals(evaluation, problem, split, level, _of_difficulty(found, level), of_logs)
    first = len(evaluation.folds) if scaled.checked_on == "test part" else 0
    half = np.concatenate(found.half[first:])
    return replace(
        scaled,
        half_width=Metric(float(half.mean())),
        half_widths=(float(np.quantile(half, 0.05)), float(np.quantile(half, 0.95))),
        normalised=plain.normalised,
        widths=found.widths,
        constant=replace(plain, normalised=None),
        distances=np.concatenate(found.distances),
    )


def _all_positive(evaluation: Evaluation, problem: Problem) -> bool:
    return bool((problem.y > 0).all() and all((fold.y_pred > 0).all() for _, fold in evaluation.parts()))


def _logs(evaluation: Evaluation) -> Evaluation:
    """Return the predictions of an evaluation as logarithms, and signs of doubt in units of these."""

    def of(fold: Fold) -> Fold:
        guess, signs = as_logs(fold.y_pred, fold.signs)
        return replace(fold, y_pred=guess, signs=signs, y_std=None if fold.y_std is None else fold.y_std / fold.y_pred)

    test = None if evaluation.test is None else of(evaluation.test)
    return replace(evaluation, folds=tuple(map(of, evaluation.folds)), test=test)


class _Held(NamedTuple):
    """Predictions to bound, and where the residuals that bound them come from."""

    name: str
    fold: Fold
    calibration: Mask  # which predictions out of folds


def _held(evaluation: Evaluation) -> list[_Held]:
    """Return all parts; a fold is never bounded by residuals of its own samples."""
    if not evaluation.folds:
        nothing = np.zeros(0, dtype=bool)
        return [_Held(name, fold, nothing) for name, fold in evaluation.parts()]
    found = evaluation.out_of_fold()
    parts = []
    for k, (name, fold) in enumerate(evaluation.parts()):
        own = k < len(evaluation.folds)
        # A sample can be in two folds: then its residual in the other one is not used either.
        use = ~np.isin(found.indices, fold.indices) if own else np.ones(len(found.indices), dtype=bool)
        parts.append(_Held(name, fold, use))
    return parts


class _Ways(NamedTuple):
    """How intervals of one kind are made."""

    method: str
    half_widths: Callable[[int, float], FloatArray | Metric]  # of a part, at a level; or why there are none
    half_width: Callable[[float], Metric]


def _of_one_width(evaluation: Evaluation, problem: Problem, split: Split, normalised: bool = False) -> _Ways:
    """Make intervals all of which are equally wide, or are in units of the model's own standard deviation."""
    parts = _held(evaluation)
    scores, groups, floor = np.empty(0), _groups_out_of_fold(evaluation, problem, split), 0.0
    if evaluation.folds:
        found = evaluation.out_of_fold()
        scores = np.abs(found.y_pred - problem.y[found.indices])
        if normalised and found.y_std is not None:
            floor = 1e-3 * float(np.mean(found.y_std))  # where a model claims to be certain
            scores = scores / np.maximum(found.y_std, floor)

    def half_widths(k: int, at: float) -> FloatArray | Metric:
        part = parts[k]
        own = None if groups is None else groups[part.calibration]
        quantile = conformal_quantile(scores[part.calibration], at, own)
        if quantile.value is None:
            return quantile
        std = part.fold.y_std if normalised else None
        return quantile.value * (np.ones(len(part.fold.indices)) if std is None else np.maximum(std, floor))

    how = ", each as wide as the model's own standard deviation suggests" if normalised else ", all equally wide"
    return _Ways(how, half_widths, lambda level: conformal_quantile(scores, level, groups))


def _of_difficulty(found: Scaled, level: float) -> _Ways:
    """Make intervals that are as wide as samples are difficult."""

    def half_widths(k: int, at: float) -> FloatArray | Metric:
        if at == level:
            return found.half[k]
        quantile = conformal_quantile(found.scores[k], at, found.groups[k])
        return quantile if quantile.value is None else quantile.value * found.half[k]

    how = (
        ", each as wide as the errors of samples suggest that are like it (nearest in features, with the nearest "
        "predictions, with the same elements)"
    )
    return _Ways(how, half_widths, lambda _: Metric(None, "it differs from sample to sample"))


def _intervals(
    evaluation: Evaluation, problem: Problem, split: Split, level: float, ways: _Ways, of_logs: bool
) -> Uncertainty:
    parts = _held(evaluation)
    y, least = problem.y, -np.inf if of_logs or problem.at_least is None else problem.at_least
    number: Callable[[FloatArray], FloatArray] = np.exp if of_logs else np.asarray
    checked_on, judged = _judged(evaluation, parts)
    places = range(len(parts) - len(judged), len(parts))

    def check(at: float) -> tuple[Metric, Metric]:
        """Return coverage and mean width for a level, of the samples to judge by."""
        hits, widths = [], []
        for k in places:
            half = ways.half_widths(k, at)
            if isinstance(half, Metric):
                return half, half
            guess, truth = np.maximum(parts[k].fold.y_pred, least), y[parts[k].fold.indices]
            hits.append(np.abs(guess - truth) <= half)
            widths.append(number(guess + half) - number(np.maximum(guess - half, least)))
        return Metric(float(np.concatenate(hits).mean())), Metric(float(np.concatenate(widths).mean()))

    half = np.concatenate(
        [
            np.full(len(part.fold.indices), np.nan) if isinstance(found, Metric) else found
            for part, found in ((part, ways.half_widths(k, level)) for k, part in enumerate(parts))
        ]
    )
    guess = np.maximum(np.concatenate([part.fold.y_pred for part in parts]), least)
    coverage, mean_width = check(level)
    curve = [(at, share) for at in _LEVELS if (share := check(at)[0].value) is not None]
    return Uncertainty(
        kind="regression",
        level=level,
        method=(
            f"split conformal intervals from the residuals {'of logarithms in' if of_logs else 'of'} the "
            f"cross-validation{ways.method}; for a fold, from those of the other folds"
        ),
        assumptions=_assumptions(split, problem),
        indices=np.concatenate([part.fold.indices for part in parts]),
        parts=np.repeat([part.name for part in parts], [len(part.fold.indices) for part in parts]),
        lower=number(np.maximum(guess - half, least)),
        upper=number(guess + half),
        guess=number(guess),
        of_logs=of_logs,
        sets=None,
        checked_on=checked_on,
        coverage=coverage,
        coverage_by_class={},
        mean_width=mean_width,
        calibration=Calibration(
            "coverage",
            np.array([at for at, _ in curve]),
            np.array([share for _, share in curve]),
            np.full(len(curve), sum(len(part.fold.indices) for part in judged)),
        )
        if curve
        else None,
        half_width=ways.half_width(level),
        thresholds={},
    )


def _sets(evaluation: Evaluation, problem: Problem, split: Split, level: float) -> Uncertainty:
    parts = _held(evaluation)
    classes = problem.target.classes
    y = problem.y.astype(np.intp)
    checked_on, judged = _judged(evaluation, parts)
    common: dict[str, Any] = {
        "kind": "classification",
        "level": level,
        "method": "conformal sets of classes from the probabilities of the cross-validation, class by class; for a "
        "fold, from those of the other folds",
        "assumptions": _assumptions(split, problem),
        "indices": np.concatenate([part.fold.indices for part in parts]),
        "parts": np.repeat([part.name for part in parts], [len(part.fold.indices) for part in parts]),
        "lower": None,
        "upper": None,
        "checked_on": checked_on,
        "half_width": Metric(None, "predictions are classes, which have sets in place of intervals"),
    }
    if any(part.fold.probabilities is None for part in parts):
        reason = Metric(None, "the model gives no probabilities of classes")
        by_class = dict.fromkeys(classes, reason)
        return Uncertainty(
            **common,
            sets=None,
            coverage=reason,
            coverage_by_class=by_class,
            mean_width=reason,
            calibration=None,
            thresholds=by_class,
        )
    scores, labels = np.empty(0), np.empty(0, dtype=np.intp)
    groups = _groups_out_of_fold(evaluation, problem, split)
    if evaluation.folds:
        found = evaluation.out_of_fold()
        labels = y[found.indices]
        scores = 1 - np.asarray(found.probabilities)[np.arange(len(labels)), labels]

    def quantiles(use: Mask) -> list[Metric]:
        of_class = [use & (labels == c) for c in range(len(classes))]
        return [conformal_quantile(scores[own], level, None if groups is None else groups[own]) for own in of_class]

    def sets(part: _Held) -> Mask:
        limits = [1.0 if q.value is None else q.value for q in quantiles(part.calibration)]
        return np.asarray(1 - np.asarray(part.fold.probabilities) <= np.array(limits) + 1e-12)

    truth = np.concatenate([y[part.fold.indices] for part in judged])
    chosen = np.concatenate([sets(part) for part in judged])
    hit = chosen[np.arange(len(truth)), truth]
    return Uncertainty(
        **common,
        sets=np.concatenate([sets(part) for part in parts]),
        coverage=Metric(float(hit.mean())),
        coverage_by_class={
            name: Metric(float(hit[truth == c].mean()))
            if (truth == c).any()
            else Metric(None, f"no sample of class {name!r} among those held out")
            for c, name in enumerate(classes)
        },
        mean_width=Metric(float(chosen.sum(axis=1).mean())),
        calibration=_reliability(truth, np.concatenate([np.asarray(part.fold.probabilities) for part in judged])),
        thresholds={
            name: q if q.value is None else Metric(1 - q.value)
            for name, q in zip(classes, quantiles(np.ones(len(scores), dtype=bool)), strict=True)
        },
    )


def _groups_out_of_fold(evaluation: Evaluation, problem: Problem, split: Split) -> Indices | None:
    """Return the groups of the samples that residuals come from, in the same order; None if there are no groups."""
    groups = groups_of(problem, split)
    if groups is None:
        return None
    return groups[evaluation.out_of_fold().indices] if evaluation.folds else groups[:0]


def _reliability(truth: Indices, probabilities: FloatArray) -> Calibration:
    if probabilities.shape[1] == 2:
        predicted, right = probabilities[:, 1], truth == 1
    else:
        predicted, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((predicted * 10).astype(np.intp), 9)
    counts = np.bincount(bins, minlength=10)
    used = counts > 0
    nominal, observed = (np.bincount(bins, w, minlength=10)[used] / counts[used] for w in (predicted, right))
    return Calibration("reliability", nominal, observed, counts[used])


def _judged(evaluation: Evaluation, parts: list[_Held]) -> tuple[str, list[_Held]]:
    """Return what coverage is measured on, and these parts."""
    n = len(evaluation.folds)
    return ("folds", parts) if evaluation.test is None else ("test part", parts[n:])


def _assumptions(split: Split, problem: Problem) -> str:
    """Say what a level rests on, for this way of dividing samples."""
    text = "The level holds for new samples drawn in the same way as those of the data set (exchangeable with them)"
    if split.method in ("group", "time"):
        text += (
            "; here parts differ in kind (" + ("later samples" if split.method == "time" else "other groups") + "), so "
            "that it holds only as far as the errors of one are like those of another"
        )
    if groups_of(problem, split) is not None:
        what = "structure" if problem.atoms is not None and split.method != "group" else "group"
        text += (
            f"; each {what} counts the same, however large it is, since its samples are alike: the level is that for a "
            f"sample of a {what} drawn at random, and coverage measured on few of them is uncertain"
        )
    return text + ". It is an average over samples: among those of a certain kind it can be lower."

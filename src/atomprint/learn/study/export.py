"""What a study says in words, in plain types for JSON, and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from atomprint.layout import symbols_of
from atomprint.learn.evaluation.evaluate import Evaluation, Fold
from atomprint.learn.evaluation.uncertainty import conformal
from atomprint.learn.splits.split import Split
from atomprint.learn.task.contents import compositions_of

if TYPE_CHECKING:
    from atomprint.learn.evaluation.importance import Importance
    from atomprint.learn.study.study import Study, Trial

_FEW = 1000  # samples
_RARE = 5  # structures


def plain(value: Any) -> Any:
    """Return parameters of any kind as types that JSON knows; numbers that it does not know become words."""
    if isinstance(value, BaseEstimator):
        return {"class": type(value).__name__} | {k: plain(v) for k, v in value.get_params(deep=False).items()}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def study_to_dict(study: Study) -> dict[str, Any]:
    """Return all results of a study in plain types; see :meth:`Study.to_dict`."""
    dataset, target, split = study.dataset, study.target, study.split
    ids = np.array(study.problem.ids)
    best_trial, best_model = study.best()
    return {
        "dataset": {
            "name": dataset.name,
            "title": dataset.title,
            "n_structures": len(dataset),
            "n_samples": len(study.problem),
            "description": dataset.description,
            "source": dataset.source,
            "licence": dataset.licence,
        },
        "target": {
            "name": study.target_name,
            "title": target.title,
            "unit": target.unit,
            "definition": target.definition,
            "kind": study.kind,
            "level": target.level,
            "classes": list(target.classes),
        },
        "question": study.question,
        "caveats": study.caveats(),
        "split": {
            "seed": split.seed,
            "method": split.method,
            "description": split.description,
            "train": None if _cover_train(split) else ids[split.train].tolist(),
            "test": ids[split.test].tolist(),
            "fold_names": list(split.fold_names),
            "folds": [ids[predict].tolist() for _, predict in split.folds],
        },
        "leakage": study.leakage.to_dict(),
        "models": {
            key: {"title": title, "parameters": study.parameters.get(key, {})} for key, title in study.models.items()
        },
        "best": {"features": best_trial.features.key, "model": best_model},
        "choice": study.choice and study.choice.to_dict(),
        "chosen": _evaluation_to_dict(study.chosen) if study.nested else None,
        "baseline": _evaluation_to_dict(study.baseline),
        "trials": [_trial_to_dict(trial) for trial in study.trials],
        "learning_curve": study.learning_curve and study.learning_curve.to_dict(),
        "rows": [row.to_dict() for row in study.rows],
        "uncertainty": study.uncertainty and study.uncertainty.to_dict(),
        "breakdown": study.breakdown.to_dict(),
    }


def _cover_train(split: Split) -> bool:
    """Return whether the predicted samples of the folds are those of the training part: no need to list it then."""
    return bool(split.folds) and np.array_equal(np.unique(np.concatenate([p for _, p in split.folds])), split.train)


def _trial_to_dict(trial: Trial) -> dict[str, Any]:
    features = trial.features
    return {
        "features": {
            "key": features.key,
            "title": features.title,
            "description": features.description,
            "shape": list(getattr(features.values, "shape", [len(features)])),
            "pairwise": features.pairwise,
            "seconds": features.seconds,
            "parameters": plain(features.parameters),
        },
        "models": {name: _evaluation_to_dict(evaluation) for name, evaluation in trial.evaluations.items()},
        "best": trial.best,
        "importance": trial.importance and {"model": trial.best, **_importance_to_dict(trial.importance)},
        "shap": trial.shap and {"model": trial.best, **_importance_to_dict(trial.shap)},
        "top_features": {
            "model": trial.top_model,
            "features": [{"feature": name, "importance": value} for name, value in trial.top],
        },
    }


def _importance_to_dict(importance: Importance) -> dict[str, Any]:
    return {
        "method": importance.method,
        "unit": importance.unit,
        "groups": {
            way: [{"group": g.label, "mean": g.mean, "std": g.std, "n_features": g.n_features} for g in groups]
            for way, groups in importance.groups.items()
        },
        "n_groups": dict(importance.n_groups),
    }


def _evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    folds = evaluation.parts()
    return {
        "cross_validation": {k: v.to_dict() for k, v in evaluation.cross_validation.items()},
        "folds": [{"name": name, **_fold_to_dict(fold)} for name, fold in folds[: len(evaluation.folds)]],
        "test": _fold_to_dict(evaluation.test) if evaluation.test else None,
    }


def _fold_to_dict(fold: Fold) -> dict[str, Any]:
    return {
        "n_samples": len(fold.indices),
        **fold.metrics.to_dict(),
        "chosen": plain(fold.chosen),
        "seconds_fit": fold.seconds_fit,
        "seconds_predict": fold.seconds_predict,
    }


def predictions(study: Study) -> Iterator[dict[str, Any]]:
    """Yield every prediction of a study; see :meth:`Study.predictions`."""
    problem = study.problem
    ids, classes = problem.ids, problem.target.classes
    known = study.uncertainty
    for features, model, evaluation in study.evaluations():
        bounds = known
        if known is not None and evaluation is not study.chosen:
            bounds = conformal(evaluation, problem, study.split, known.level)
        place = 0
        for part, fold in evaluation.parts():
            for k, sample in enumerate(fold.indices):
                row: dict[str, Any] = {
                    "dataset": problem.dataset.name,
                    "target": problem.target_name,
                    "unit": problem.target.unit,
                    "features": features,
                    "model": model,
                    "part": part,
                    "id": ids[sample],
                }
                if not classes:
                    row |= {"true": float(problem.y[sample]), "predicted": float(fold.y_pred[k])}
                    for name in ("lower", "upper"):
                        ends = getattr(bounds, name, None)
                        row[name] = None if ends is None or np.isnan(ends[place]) else float(ends[place])
                else:
                    row |= {"true": classes[int(problem.y[sample])], "predicted": classes[int(fold.y_pred[k])]}
                    for c, name in enumerate(classes):
                        p = fold.probabilities
                        row[f"probability {name}"] = None if p is None else float(p[k, c])
                    sets = bounds.sets if bounds else None
                    row["set"] = None if sets is None else "|".join(np.array(classes)[sets[place]])
                place += 1
                yield row


# In words ---------------------------------------------------------------------------------------------------------


def caveats(study: Study) -> list[str]:
    """Return, in words, what limits how far the results of a study can be trusted."""
    return [*_size(study), *_choice(study), *_elements(study), *study.leakage.sentences(), *_probabilities(study)]


def _size(study: Study) -> Iterator[str]:
    n, n_test = len(study.problem), len(study.split.test)
    what = "atoms" if study.problem.atoms is not None else "samples"
    if n < _FEW:
        sizes = sorted({len(predict) for _, predict in study.split.folds})
        shown = " or ".join(map(str, sizes)) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"
        parts = [f"{n_test} are in the test part"] if n_test else []
        parts += [f"{shown} in each fold"] if sizes else []
        yield (
            f"Little data: {n} {what}, of which {' and '.join(parts)}. A single one can move a figure visibly: compare "
            "differences with the spread over folds, and read nothing into the last digit."
        )
    if study.problem.atoms is not None:
        n_structures = len(np.unique(study.problem.structures))
        yield (
            f"The {n} atoms belong to {n_structures} structures. Atoms of one structure are much alike, so that they "
            "are worth less than as many independent samples; they are never divided between training and testing."
        )


def _choice(study: Study) -> Iterator[str]:
    n_models = sum(len(trial.evaluations) for trial in study.trials)
    made = study.choice.description if study.choice is not None else ""
    if not study.split.folds:
        text = "There is no cross-validation: figures are from a single test part and have no spread"
        yield f"{text}. The best of {n_models} was {made}." if made else f"{text}."
    elif made:
        yield (
            "There is no test part. For each fold features and model were chosen within its training samples alone, "
            f"and the predictions of what was chosen are what to judge by ({made}). Figures of single models are for "
            f"information: picking the best of the {n_models} by them would be a choice on the samples that judge it."
        )


def _elements(study: Study) -> Iterator[str]:
    problem, split = study.problem, study.split
    contains = compositions_of(problem.dataset).contains

    def present(samples: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        return np.asarray(contains[np.unique(problem.structures[samples])].any(axis=0))

    def listed(numbers: npt.NDArray[np.intp]) -> str:
        return ", ".join(symbols_of(numbers.tolist()))

    if len(split.test):
        trained, tested = present(split.train), present(split.test)
        unseen = np.flatnonzero(tested & ~trained)
        if len(unseen) == np.count_nonzero(tested):
            yield (
                "No element of the test part occurs in the training part. Only what is known about elements beforehand "
                "(their properties) can carry over from one to the other."
            )
        elif len(unseen):
            yield f"In the test part but not in the training part: {listed(unseen)}."
    missed = np.zeros(contains.shape[1], dtype=bool)
    for fit, predict in split.folds:
        missed |= present(predict) & ~present(fit)
    if missed.any():
        yield f"Predicted in a fold by a model that had not seen the element: {listed(np.flatnonzero(missed))}."
    counts = contains[np.unique(problem.structures[split.train])].sum(axis=0)
    rare = np.flatnonzero((counts > 0) & (counts < _RARE))
    if 0 < len(rare) < np.count_nonzero(counts) / 2:
        yield (
            "Rare elements: "
            + ", ".join(f"{symbol} ({counts[z]})" for symbol, z in zip(symbols_of(rare.tolist()), rare, strict=True))
            + f" occur in fewer than {_RARE} training structures (number in parentheses); expect large errors there."
        )


def _probabilities(study: Study) -> Iterator[str]:
    if study.kind != "classification":
        return
    without = sorted(
        {
            study.models[name]
            for trial in study.trials
            for name, evaluation in trial.evaluations.items()
            if any(fold.probabilities is None for _, fold in evaluation.parts())
        }
    )
    if without:
        yield (
            f"No probabilities of classes from: {', '.join(without)}. Areas under curves and sets of classes need "
            "them, and are not defined there."
        )
    counts = np.bincount(study.problem.y[study.split.train].astype(np.intp), minlength=len(study.target.classes))
    few = [f"{name} ({n})" for name, n in zip(study.target.classes, counts, strict=True) if n < 2 * _RARE]
    if few:
        yield f"Rare classes: {', '.join(few)}, with fewer than {2 * _RARE} training samples (number in parentheses)."

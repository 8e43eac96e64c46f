"""What is inside estimators that hold others: pipelines, unions, searches, scaled targets, calibrated models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy

from atomprint.util.types import Estimator

NOTHING = (None, "passthrough", "drop")  # in place of a step


def named_parts(estimator: Estimator) -> dict[str, Estimator]:
    """Return the steps of a pipeline or the transformers of a union by their names; empty for all else."""
    return dict(getattr(estimator, _attribute(estimator), ()))


def with_parts(estimator: Estimator, change: Callable[[Estimator], Estimator]) -> Estimator:
    """Return a copy of a pipeline or a union each of whose parts is what a function makes of it."""
    twin = copy(estimator)
    setattr(twin, _attribute(estimator), [(name, change(part)) for name, part in named_parts(estimator).items()])
    return twin


def layers(model: Estimator) -> Iterator[Estimator]:
    """Yield a model, then what it hands its work to, and so on, down to the model proper.

    That is the best estimator of a fitted search, the last step of a pipeline, the regressor behind a scaled target,
    the classifier behind a threshold, and the fitted one behind calibrated probabilities, if there is only one.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import Pipeline

    while True:
        yield model
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, Pipeline):
            model = model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor) and model.regressor is not None:
            model = getattr(model, "regressor_", model.regressor)
        elif hasattr(model, "classifier"):  # of a ThresholdClassifier
            model = getattr(model, "classifier_", model.classifier)
        elif isinstance(model, CalibratedClassifierCV) and len(getattr(model, "calibrated_classifiers_", ())) == 1:
            model = model.calibrated_classifiers_[0].estimator
        else:
            return


def with_inner(model: Estimator, change: Callable[[Estimator], Estimator]) -> Estimator:
    """Return a copy of a fitted model whose members, regressor or classifier are what a function makes of them.

    The same model if it hands its work to no other.
    """
    for name in ("regressor_", "classifier_"):
        if hasattr(model, name):
            twin = copy(model)
            setattr(twin, name, change(getattr(model, name)))
            return twin
    if hasattr(model, "members_"):
        twin = copy(model)
        twin.members_ = {key: change(member) for key, member in model.members_.items()}
        return twin
    return model


def steps_before(layer: Estimator) -> list[tuple[str, Estimator]]:
    """Return names and transformers before the last step of a pipeline, without those that do nothing."""
    from sklearn.pipeline import Pipeline

    steps = layer.steps[:-1] if isinstance(layer, Pipeline) else ()
    return [(name, step) for name, step in steps if step not in NOTHING]


def unwrap(model: Estimator) -> tuple[list[Estimator], Estimator]:
    """Return what stands before the model proper, and this, without searches and transformations of the target.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`~atomprint.learn.make_model` returns.

    Returns
    -------
    transformers : list
        Fitted transformers of the features.
    model : estimator
        The fitted model that sees their result; its targets may be scaled.
    """
    found = list(layers(model))
    return [step for layer in found for _, step in steps_before(layer)], found[-1]


def _attribute(estimator: Estimator) -> str:
    """Return where a pipeline or a union, of tables or of local features, keeps its parts; empty for all else."""
    from sklearn.compose import ColumnTransformer

    names = () if isinstance(estimator, ColumnTransformer) else ("steps", "transformer_list", "transformers")
    return next((name for name in names if hasattr(estimator, name)), "")

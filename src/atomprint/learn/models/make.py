"""Models by name or import path; whatever they learn, they learn in ``fit``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from atomprint.learn.estimators.bounded_scaler import BoundedScaler
from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.estimators.except_blocks import ExceptBlocks
from atomprint.learn.estimators.levels import Levels
from atomprint.learn.estimators.log_target import LogScaler
from atomprint.learn.estimators.projection import ProjectBlocks, Projection
from atomprint.learn.estimators.selection import SelectFeatures
from atomprint.learn.estimators.threshold import ThresholdClassifier, check_threshold
from atomprint.learn.models.catalogue import (
    CLASSIFIER_SPACES,
    KINDS,
    MODELS,
    OTHER_NAMES,
    Calibrated,
    ModelSpec,
    Request,
    ScaledTarget,
)
from atomprint.learn.models.search import Search, SearchSpace
from atomprint.learn.task.blocks import SelectBlocks, check_names
from atomprint.learn.task.noise import DropNoise
from atomprint.util.registry import import_class
from atomprint.util.types import Estimator
from atomprint.util.validation import check_bool, check_choice, check_integer, check_n_jobs, meant

DEFAULT_MEMBERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "regression": ("extra_trees", "hist_gradient_boosting", "kernel_ridge", "mlp"),
        "classification": ("extra_trees", "hist_gradient_boosting", "mlp"),
    }
)
"""Members of an ensemble that is not told which to have."""


def make_model(
    name: str,
    kind: str = "regression",
    *,
    random_state: int | None = None,
    n_jobs: int = 1,
    search: Search | None = None,
    pairwise: bool = False,
    projection: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
    blocks: Sequence[str] | None = None,
    n_seeds: int = 1,
    threshold: float | str | None = None,
    transform: str | None = None,
    **parameters: Any,
) -> Estimator:
    """Return a model that is not fitted yet.

    Parameters
    ----------
    name : str
        One of :data:`MODELS` (or another name of one, such as ``"knn"``), or the import path of a class with the
        interface of scikit-learn, such as ``"sklearn.svm.NuSVR"``, which is imported; such a model gets its features
        as they are, neither cleaned of rounding (:class:`DropNoise`) nor imputed nor scaled.
    kind : {"regression", "classification"}
        Kind of the problem.
    random_state : int, optional
        Seed of models that draw random numbers. With a seed, results are the same every time.
    n_jobs : int
        Number of threads of models that use several; -1 means all cores. Results do not depend on it, but
        for the last digits of predictions of a random forest: :func:`~atomprint.learn.evaluate` sees to these, too.
    search : Search, optional
        How to search for hyperparameters. Default: not at all, beyond what the model itself does.
    pairwise : bool
        Whether the model is given a kernel between samples instead of features.
    projection : mapping, optional
        Parameters of a :class:`Projection`, such as ``{"n_components": 500}``: the model is then given the principal
        components of the features; with ``"blocks"``, names of blocks of joined features, those of each of these
        blocks, not scaled before, beside the other features (:class:`ProjectBlocks`). Not for models given a kernel or
        by import path.
    selection : mapping, optional
        Parameters of a :class:`~atomprint.learn.estimators.selection.SelectFeatures`, such as
        ``{"n_features": 300, "method": "fps"}``: the model is then given these features alone. As for ``projection``.
    blocks : sequence of str, optional
        Names of blocks of joined features: the model is given these alone. Default: all of them. Not for models given
        a kernel.
    n_seeds : int
        How many of the model, with different seeds, are fitted and averaged: for neural networks, above all. Not for
        models that draw no random numbers, are given a kernel, or are asked for by import path.
    threshold : float or str, optional
        For classes: what the probability of the second of two must exceed to be predicted; or the figure of merit for
        which thresholds are chosen in ``fit`` by held-out samples: "balanced_accuracy", "accuracy", "f1" or "mcc". See
        :class:`~atomprint.learn.estimators.threshold.ThresholdClassifier`. Default, also "none": the most probable
        class.
    transform : str, optional
        "log" for numbers, all larger than 0: the model, or each member of an ensemble, learns their logarithms, and
        predictions are what has these. Default, also "none": numbers are learnt as they are.
    **parameters
        Parameters of the model, by the names that scikit-learn or XGBoost give them. ``members`` of the model
        "ensemble" are names, or mappings of ``type``, its name, and whatever this function takes for it; an entry
        ``name`` tells two of one type apart. Default: models of different kinds that suit most data.

    Returns
    -------
    estimator
        A scikit-learn regressor or classifier: a ``Pipeline`` with the steps ``select`` (if there are ``blocks``),
        ``clean``, ``impute``, ``scale`` (what the model wants of these), ``choose`` and ``project`` (if asked for),
        ``levels`` (for models that bin features) and ``model``, or a search around it.

    Raises
    ------
    ValueError
        If there is no such model, it is not for this kind of problem or not for kernels, or has no such parameter.
    ImportError
        If it needs a package that is not installed.
    """
    check_choice("kind", kind, KINDS)
    check_bool("pairwise", pairwise)
    name = OTHER_NAMES.get(name, name) if isinstance(name, str) else name
    n_jobs = check_n_jobs(n_jobs)
    search = None if search is None or search.method == "none" else search
    if blocks is not None and pairwise:
        raise ValueError(f"blocks are for joined features, not for a kernel between samples, got {blocks!r}")
    threshold, logs = _decided(threshold, kind), _of_logs(transform, kind)
    steps = [] if blocks is None else [("select", SelectBlocks(check_names("blocks", blocks)))]
    space: SearchSpace = {}
    if _is_known(name):
        spec = _suited(name, kind, pairwise)
        space = CLASSIFIER_SPACES.get(name, spec.space) if kind == "classification" else spec.space
        if pairwise:
            space = {key: values for key, values in space.items() if key != "gamma"}
        given = frozenset({*parameters, *((search.space or space) if search else ())})
        model = spec.make(Request(kind, random_state, n_jobs, pairwise, given))
        if threshold is not None and isinstance(model, Ensemble):  # it holds samples out for its weights anyway
            parameters, threshold = {**parameters, "threshold": threshold}, None
        _set_parameters(name, model, parameters, kind, random_state, n_jobs, transform)
        _check_pairwise(name, model, pairwise)
        inner = model
        if check_integer("n_seeds", n_seeds, 1) > 1:
            model = _with_seeds(name, model, n_seeds, random_state, pairwise)
        logs = logs and not isinstance(model, Ensemble)  # its members see them
        model = _with_targets(spec, model, kind, random_state, logs)
        if not pairwise:
            before = _steps_before(name, spec, selection, projection)
            elements = parameters.get("elements")
            if elements is not None:  # how much there is of each is no feature to be scaled
                if selection is not None or projection is not None:
                    what = "projection" if selection is None else "selection"
                    raise ValueError(f"{what} is not for {name!r} with elements, got elements = {elements!r}")
                before = [("others", ExceptBlocks([elements], Pipeline(before)))]
            steps += before
    else:
        for what, entry in (("projection", projection), ("selection", selection), ("n_seeds", n_seeds)):
            if entry not in (None, 1):
                raise ValueError(f"{what} is for the models of atomprint, not for one by its import path, {name!r}")
        model = inner = _imported(name, kind, random_state, n_jobs, parameters)
        _check_pairwise(name, model, pairwise)
        model = ScaledTarget(model, transformer=LogScaler()) if logs else model
    if threshold is not None:
        model = ThresholdClassifier(model, threshold, random_state=random_state)
        model.check_parameters()
    if steps:
        model = Pipeline([*steps, ("model", model)])
    return model if search is None else _searched(name, model, search, space, kind, _prefix(model, inner))


def _decided(threshold: Any, kind: str) -> Any:
    """Return a checked threshold, None for the most probable class."""
    if threshold is None or threshold == "none":
        return None
    if kind != "classification":
        raise ValueError(f"threshold is for classes, got {threshold!r} for {kind}")
    check_threshold(threshold)
    return threshold


def _of_logs(transform: Any, kind: str) -> bool:
    """Return whether logarithms are to be learnt."""
    if transform is None:
        return False
    if check_choice("transform", transform, ("none", "log")) == "log" and kind != "regression":
        raise ValueError(f"transform is for numbers, got {transform!r} for {kind}")
    return str(transform) == "log"


def _is_known(name: Any) -> bool:
    """Return whether a model is one of atomprint and not an import path; raise if it is neither."""
    if not isinstance(name, str) or (name not in MODELS and "." not in name):
        raise ValueError(
            f"model must be one of {', '.join(map(repr, MODELS))}, or an import path such as 'sklearn.svm.NuSVR', "
            f"got {name!r}{meant(name, {*MODELS, *OTHER_NAMES})}"
        )
    return name in MODELS


def _suited(name: str, kind: str, pairwise: bool) -> ModelSpec:
    """Return what is known of a model of atomprint; raise unless it is for the problem and what it is given."""
    spec = MODELS[name]
    for possible, wanted in ((kind in spec.kinds, kind), (spec.pairwise or not pairwise, "a kernel between samples")):
        if not possible:
            others = [
                key
                for key, other in MODELS.items()
                if kind in other.kinds and (other.pairwise or not pairwise) and key != "dummy"
            ]
            raise ValueError(f"model {name!r} is not for {wanted}: choose one of {', '.join(others)}")
    return spec


def _set_parameters(
    name: str,
    model: Estimator,
    parameters: dict[str, Any],
    kind: str,
    random_state: int | None,
    n_jobs: int,
    transform: str | None,
) -> None:
    """Set checked parameters of a model; those of an ensemble hold its members, which may learn logarithms."""
    _check_parameters(name, parameters, model.get_params())
    if isinstance(model, Ensemble):
        members = parameters.get("members", DEFAULT_MEMBERS[kind])
        model.set_params(**parameters | {"members": _members(members, kind, random_state, n_jobs, transform)})
        model.check_parameters()
    else:
        model.set_params(**parameters)


def _with_targets(spec: ModelSpec, model: Estimator, kind: str, random_state: int | None, logs: bool) -> Estimator:
    """Return a model with scaled targets, or with probabilities, if it wants these, or with logarithms."""
    if logs:
        return ScaledTarget(model, transformer=LogScaler())
    if spec.target_scaled and kind == "regression":
        return ScaledTarget(model, transformer=StandardScaler())
    if spec.calibrated and kind == "classification":
        folds = StratifiedKFold(5, shuffle=True, random_state=random_state)
        return Calibrated(model, cv=folds, ensemble=False)
    return model


def _steps_before(
    name: str, spec: ModelSpec, selection: Mapping[str, Any] | None, projection: Mapping[str, Any] | None
) -> list[tuple[str, Estimator]]:
    """Return what features go through before a model of atomprint sees them."""
    steps: list[tuple[str, Estimator]] = []
    of_blocks = isinstance(projection, Mapping) and "blocks" in projection
    if of_blocks and not spec.imputed:
        raise ValueError(f"projection: blocks are not for {name!r}, which does with features that are missing")
    if spec.cleaned:  # in place: kernels know features by the columns of their blocks
        steps.append(("clean", DropNoise(keep=True)))
    if spec.imputed:
        steps.append(("impute", SimpleImputer(keep_empty_features=True)))
        if of_blocks and isinstance(projection, Mapping):
            given = {"names" if key == "blocks" else key: value for key, value in projection.items()}
            steps.append(("project", _step(name, "projection", ProjectBlocks, given)))
        if spec.scaled:  # in place: the imputer has made a copy
            steps.append(("scale", BoundedScaler(10.0 if spec.extrapolates else 2.0, copy=False)))
    if selection is not None:
        steps.append(("choose", _step(name, "selection", SelectFeatures, selection)))
    if projection is not None and not of_blocks:
        steps.append(("project", _step(name, "projection", Projection, projection)))
    if spec.binned:
        steps.append(("levels", Levels()))
    return steps


def _members(
    given: Any, kind: str, random_state: int | None, n_jobs: int, transform: str | None
) -> list[tuple[str, Estimator]]:
    """Return the members of an ensemble by names that differ: "mlp", and "mlp_2" with the next seed for another one."""
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence) or not len(given):
        raise TypeError(f"members must be a list of models, each a name or a table with a type, got {given!r}")
    members: dict[str, Estimator] = {}
    for entry in given:
        if not isinstance(entry, str | Mapping):
            raise TypeError(f"members must be names of models or tables with a type, got {entry!r}")
        options: dict[str, Any] = {"type": entry} if isinstance(entry, str) else dict(entry)
        if "type" not in options:
            raise ValueError(f"members must have a type, such as {{type = 'extra_trees'}}, got {options!r}")
        kind_of_model = options.pop("type")
        name = options.pop("name", str(kind_of_model).rpartition(".")[2])
        for key in ("kind", "random_state", "n_jobs", "search", "pairwise", "threshold"):
            if key in options:
                raise ValueError(f"members: {name!r} must not have an entry {key}, which is that of the ensemble")
        if kind_of_model == "ensemble":
            raise ValueError("members must not be ensembles themselves")
        own, count = name, 1
        while own in members:
            count += 1
            own = f"{name}_{count}"
        seed = None if random_state is None else random_state + count - 1
        try:
            options = {"transform": transform, **options}
            members[own] = make_model(kind_of_model, kind, random_state=seed, n_jobs=n_jobs, **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"members: {error}") from error
    return list(members.items())


def _with_seeds(name: str, model: Estimator, n_seeds: int, random_state: int | None, pairwise: bool) -> Estimator:
    """Return the average of several of a model that are fitted to the same samples with different seeds."""
    if isinstance(model, Ensemble) or "random_state" not in model.get_params():
        raise ValueError(
            f"n_seeds is for models that draw random numbers{', such as members' * isinstance(model, Ensemble)}: it "
            f"must be 1 for {name!r}, got {n_seeds}"
        )
    if pairwise:
        raise ValueError(f"n_seeds must be 1 for a model given a kernel between samples, got {n_seeds}")
    made = BaggingRegressor if is_regressor(model) else BaggingClassifier
    return made(model, n_estimators=n_seeds, bootstrap=False, random_state=random_state)


def _step(name: str, what: str, made: type[Any], given: Any) -> Estimator:
    if not isinstance(given, Mapping):
        example = made._get_param_names()[0]
        raise TypeError(f"{what} must be a table of parameters such as {example}, got {given!r}")
    _check_parameters(f"{name}, {what}", given, made._get_param_names())
    return made(**given)


def _searched(name: str, model: Estimator, search: Search, space: SearchSpace, kind: str, prefix: str) -> Estimator:
    if not space and search.space is None:
        raise ValueError(
            f"search: model {name!r} has no default space"
            + (", it chooses its hyperparameters itself" if name in MODELS and name != "dummy" else "")
            + ": leave search out, or give it a space"
        )
    return search.wrap(model, space, kind, prefix)


def _prefix(model: Estimator, inner: Estimator) -> str:
    """Return what stands before the names of the parameters of the model proper, within what is around it."""
    if model is inner:
        return ""
    if isinstance(model, Pipeline):
        return f"model__{_prefix(model.steps[-1][1], inner)}"
    if isinstance(model, ThresholdClassifier):
        return f"classifier__{_prefix(model.classifier, inner)}"
    if isinstance(model, ScaledTarget):
        return f"regressor__{_prefix(model.regressor, inner)}"
    return f"estimator__{_prefix(model.estimator, inner)}"


def _imported(path: str, kind: str, random_state: int | None, n_jobs: int, parameters: Mapping[str, Any]) -> Estimator:
    made = import_class("model", path, ("fit", "predict", "get_params"))
    accepted = inspect.signature(made).parameters
    nested = {key: value for key, value in parameters.items() if "__" in key}
    own = {key: value for key, value in parameters.items() if key not in nested}
    if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
        _check_parameters(path, own, accepted)
    for key, value in (("random_state", random_state), ("n_jobs", n_jobs)):
        if key in accepted and key not in own:
            own[key] = value
    missing = [
        key
        for key, parameter in accepted.items()
        if parameter.default is parameter.empty and parameter.kind not in (2, 4) and key not in own
    ]
    if missing:
        raise ValueError(f"model {path!r} must be given {', '.join(missing)}")
    model: Estimator = made(**own)
    if nested:
        _check_parameters(path, nested, model.get_params())
        model.set_params(**nested)
    right, wrong = (is_regressor, is_classifier) if kind == "regression" else (is_classifier, is_regressor)
    if wrong(model) and not right(model):
        raise ValueError(f"model {path!r} is not for {kind}")
    return model


def _check_pairwise(name: str, model: Estimator, pairwise: bool) -> None:
    if name != "dummy" and bool(get_tags(model).input_tags.pairwise) != pairwise:
        raise ValueError(
            f"model {name!r} takes {'no ' if pairwise else ''}kernels between samples with these parameters: "
            f"pairwise must be {not pairwise}"
        )


def _check_parameters(model: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            names = sorted(key for key in known if "__" not in key)
            raise ValueError(
                f"model {model!r}: parameters must be among {', '.join(names)}, got {key!r}{meant(key, names)}"
            )

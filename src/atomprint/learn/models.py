"""Models by name, with defaults that suit descriptors; whatever they learn, they learn in ``fit``."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LassoCV, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

from atomprint.learn.gaussian_process import GaussianProcess
from atomprint.learn.kernel_ridge import KernelRidgeCV
from atomprint.learn.search import Interval, Search, Space
from atomprint.learn.similarity import KERNELS
from atomprint.validation import check_bool, check_choice, check_n_jobs

KINDS = ("regression", "classification")


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked to be.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Kind of the problem.
    random_state : int or None
        Seed.
    n_jobs : int
        Number of threads.
    pairwise : bool
        Whether it is given a kernel between samples.
    given : frozenset of str
        Hyperparameters that the user sets, or a search; the model need not choose them.
    """

    kind: str
    random_state: int | None
    n_jobs: int
    pairwise: bool
    given: frozenset[str]

    @property
    def regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.kind == "regression"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that can be asked for by name.

    Parameters
    ----------
    title : str
        Name for people.
    description : str
        What it does, in one sentence.
    make : callable
        Takes a :class:`Request` and returns an estimator that is not fitted.
    space : mapping
        What a search tries by default; empty for models that have nothing to choose, or choose it themselves.
    kinds : tuple of str
        "regression", "classification".
    pairwise : bool
        Whether it can be given a kernel between samples.
    imputed : bool
        Whether missing features are replaced by the mean; False for models that can do with them.
    scaled : bool
        Whether features are scaled to mean 0 and standard deviation 1.
    target_scaled : bool
        Whether targets are, for regression.
    calibrated : bool
        Whether probabilities are made from the scores of the classifier, by Platt's method in inner folds.
    """

    title: str
    description: str
    make: Callable[[Request], Any]
    space: Space = field(default_factory=dict)
    kinds: tuple[str, ...] = KINDS
    pairwise: bool = False
    imputed: bool = True
    scaled: bool = False
    target_scaled: bool = False
    calibrated: bool = False


class ScaledTarget(TransformedTargetRegressor):
    """A regressor of targets scaled to mean 0 and standard deviation 1, which also takes kernels between samples."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = get_tags(self.regressor).input_tags.pairwise
        return tags


class Calibrated(CalibratedClassifierCV):
    """A classifier with probabilities, which also takes kernels between samples."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = get_tags(self.estimator).input_tags.pairwise
        return tags


def _dummy(ask: Request) -> Any:
    return DummyRegressor(strategy="mean") if ask.regression else DummyClassifier(strategy="prior")


def _linear(ask: Request) -> Any:
    return LinearRegression() if ask.regression else LogisticRegression(C=np.inf, max_iter=1000)


def _ridge(ask: Request) -> Any:
    if not ask.regression:
        return LogisticRegression(max_iter=1000)
    return Ridge() if "alpha" in ask.given else RidgeCV(alphas=np.logspace(-4, 4, 17))


def _lasso(ask: Request) -> Any:
    if not ask.regression:
        # The penalty was named in another way before 1.8.
        new = parse_version(sklearn.__version__) >= parse_version("1.8")
        penalty = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
        return LogisticRegression(**penalty, solver="saga", max_iter=2000, tol=1e-3, random_state=ask.random_state)
    if "alpha" in ask.given:
        return Lasso(max_iter=10_000, tol=1e-3)
    folds = KFold(5, shuffle=True, random_state=ask.random_state)
    return LassoCV(cv=folds, max_iter=10_000, tol=1e-3)


def _k_neighbors(ask: Request) -> Any:
    made = KNeighborsRegressor if ask.regression else KNeighborsClassifier
    return made(n_neighbors=5, weights="distance", n_jobs=ask.n_jobs)


def _svm(ask: Request) -> Any:
    kernel = "precomputed" if ask.pairwise else "rbf"
    if ask.regression:
        return SVR(kernel=kernel, C=10.0, epsilon=0.05, cache_size=500)
    return SVC(kernel=kernel, C=10.0, cache_size=500)


def _decision_tree(ask: Request) -> Any:
    made = DecisionTreeRegressor if ask.regression else DecisionTreeClassifier
    return made(min_samples_leaf=5, random_state=ask.random_state)


def _random_forest(ask: Request) -> Any:
    made = RandomForestRegressor if ask.regression else RandomForestClassifier
    return made(n_estimators=200, max_features="sqrt", random_state=ask.random_state, n_jobs=ask.n_jobs)


def _hist_gradient_boosting(ask: Request) -> Any:
    made = HistGradientBoostingRegressor if ask.regression else HistGradientBoostingClassifier
    return made(max_iter=300, learning_rate=0.05, min_samples_leaf=10, random_state=ask.random_state)


def _xgboost(ask: Request) -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError("model 'xgboost' needs XGBoost: pip install 'atomprint[xgboost]'") from error
    made = xgboost.XGBRegressor if ask.regression else xgboost.XGBClassifier
    return made(
        n_estimators=500,
        learning_rate=0.05,
        max_depth=6,
        subsample=0.8,
        colsample_bytree=0.5,
        tree_method="hist",
        random_state=ask.random_state,
        n_jobs=ask.n_jobs,
    )


def _kernel_ridge(ask: Request) -> Any:
    kernels = ("precomputed",) if ask.pairwise else tuple(KERNELS)
    return KernelRidgeCV(kernels, random_state=ask.random_state)


def _gaussian_process(ask: Request) -> Any:
    kernels = ("precomputed",) if ask.pairwise else tuple(KERNELS)
    return GaussianProcess(kernels, random_state=ask.random_state)


def _mlp(ask: Request) -> Any:
    made = MLPRegressor if ask.regression else MLPClassifier
    return made(
        hidden_layer_sizes=(128, 64),
        alpha=1e-3,
        early_stopping=True,
        n_iter_no_change=20,
        max_iter=1000,
        random_state=ask.random_state,
    )


_LEAVES = Interval(1, 20, log=True, integer=True)
_RATE = Interval(0.01, 0.3, log=True)

MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "dummy": ModelSpec(
            "Baseline",
            "knows only the training targets: always predicts their mean, or the commonest class, which a model must "
            "beat to be of use",
            _dummy,
            imputed=False,
        ),
        "linear": ModelSpec(
            "Linear model",
            "a weighted sum of the features (logistic regression for classes) without regularisation",
            _linear,
            scaled=True,
        ),
        "ridge": ModelSpec(
            "Ridge",
            "a weighted sum of the features (logistic regression for classes) that keeps weights small; for numbers, "
            "how small is chosen by leave-one-out within the training part",
            _ridge,
            {"alpha": Interval(1e-4, 1e4, log=True)},
            scaled=True,
        ),
        "lasso": ModelSpec(
            "Lasso",
            "a weighted sum of few of the features (logistic regression for classes); for numbers, how few is chosen "
            "by cross-validation within the training part",
            _lasso,
            {"alpha": Interval(1e-4, 1.0, log=True)},
            scaled=True,
            target_scaled=True,
        ),
        "k_neighbors": ModelSpec(
            "Nearest neighbours",
            "the mean, or the vote, of the 5 most similar training samples, weighted by inverse distance",
            _k_neighbors,
            {"n_neighbors": Interval(1, 20, log=True, integer=True), "weights": ["uniform", "distance"], "p": [1, 2]},
            scaled=True,
        ),
        "svm": ModelSpec(
            "Support vector machine",
            "interpolates between those training samples that matter; for up to some 20 000 samples. Probabilities of "
            "classes are calibrated in inner folds",
            _svm,
            {"C": Interval(0.1, 1000.0, log=True), "gamma": Interval(1e-5, 1.0, log=True)},
            pairwise=True,
            scaled=True,
            target_scaled=True,
            calibrated=True,
        ),
        "decision_tree": ModelSpec(
            "Decision tree",
            "asks one feature after another, down to groups of 5 similar training samples or fewer than twice as many",
            _decision_tree,
            {"max_depth": [3, 5, 10, 20, None], "min_samples_leaf": _LEAVES},
            imputed=False,
        ),
        "random_forest": ModelSpec(
            "Random forest",
            "averages many decision trees, each grown on a resampled training set; nothing is tuned",
            _random_forest,
            {"max_features": ["sqrt", 0.1, 0.3, 0.5], "min_samples_leaf": Interval(1, 10, log=True, integer=True)},
            imputed=False,
        ),
        "hist_gradient_boosting": ModelSpec(
            "Gradient boosting",
            "a sum of small decision trees, each of which mends what those before left over; features are binned, so "
            "that large data sets are no burden",
            _hist_gradient_boosting,
            {
                "learning_rate": _RATE,
                "max_leaf_nodes": Interval(7, 127, log=True, integer=True),
                "min_samples_leaf": Interval(3, 60, log=True, integer=True),
                "l2_regularization": Interval(1e-3, 10.0, log=True),
            },
        ),
        "xgboost": ModelSpec(
            "XGBoost",
            "gradient boosting by the library of this name: a sum of small decision trees on parts of samples and "
            "features",
            _xgboost,
            {
                "learning_rate": _RATE,
                "max_depth": Interval(3, 10, integer=True),
                "min_child_weight": Interval(1.0, 20.0, log=True),
                "subsample": Interval(0.5, 1.0),
                "colsample_bytree": Interval(0.1, 1.0),
                "reg_lambda": Interval(0.1, 30.0, log=True),
            },
            imputed=False,
        ),
        "kernel_ridge": ModelSpec(
            "Kernel ridge",
            "interpolates between similar training samples; kernel, length scale and regularisation are "
            "chosen by leave-one-out within the training part",
            _kernel_ridge,
            kinds=("regression",),
            pairwise=True,
        ),
        "gaussian_process": ModelSpec(
            "Gaussian process",
            "interpolates between similar training samples and says how sure it is; kernel, length scale and noise are "
            "those that make the training targets most likely; for up to 10 000 samples",
            _gaussian_process,
            kinds=("regression",),
            pairwise=True,
        ),
        "mlp": ModelSpec(
            "Neural network",
            "a multilayer perceptron with two hidden layers of 128 and 64, trained until a tenth of the training "
            "samples, held back for this, is no longer predicted better",
            _mlp,
            {
                "hidden_layer_sizes": [(64,), (128,), (128, 64), (256, 128)],
                "alpha": Interval(1e-6, 1.0, log=True),
                "learning_rate_init": Interval(3e-4, 1e-2, log=True),
            },
            scaled=True,
            target_scaled=True,
        ),
    }
)
"""The models that :func:`make_model` knows."""

# Where the classifier of a name has another hyperparameter than the regressor.
_CLASSIFIER_SPACES: Mapping[str, Space] = MappingProxyType(
    {name: {"C": Interval(1e-4, 1e4, log=True)} for name in ("ridge", "lasso")}
)


def make_model(
    name: str,
    kind: str = "regression",
    *,
    random_state: int | None = None,
    n_jobs: int = 1,
    search: Search | None = None,
    pairwise: bool = False,
    **parameters: Any,
) -> Any:
    """Return a model that is not fitted yet.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`, or the import path of a class with the interface of scikit-learn, such as
        ``"sklearn.svm.NuSVR"``, which is imported; such a model gets its features as they are, neither imputed nor
        scaled.
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
    **parameters
        Parameters of the model, by the names that scikit-learn or XGBoost give them.

    Returns
    -------
    estimator
        A scikit-learn regressor or classifier: a ``Pipeline`` with the steps ``impute``, ``scale`` (what the model
        wants of these) and ``model``, or a search around it.

    Raises
    ------
    ValueError
        If there is no such model, it is not for this kind of problem or not for kernels, or has no such parameter.
    ImportError
        If it needs a package that is not installed.
    """
    check_choice("kind", kind, KINDS)
    check_bool("pairwise", pairwise)
    if not isinstance(name, str) or (name not in MODELS and "." not in name):
        close = difflib.get_close_matches(str(name), MODELS, n=1)
        raise ValueError(
            f"model must be one of {', '.join(map(repr, MODELS))}, or an import path such as 'sklearn.svm.NuSVR', "
            f"got {name!r}" + (f": did you mean {close[0]!r}?" if close else "")
        )
    if name not in MODELS:
        model = _imported(name, kind, random_state, check_n_jobs(n_jobs), parameters)
        _check_pairwise(name, model, pairwise)
        return model if search is None else _searched(name, model, search, {}, kind, "")
    spec = MODELS[name]
    for possible, wanted in ((kind in spec.kinds, kind), (spec.pairwise or not pairwise, "a kernel between samples")):
        if not possible:
            others = [
                key
                for key, other in MODELS.items()
                if kind in other.kinds and (other.pairwise or not pairwise) and key != "dummy"
            ]
            raise ValueError(f"model {name!r} is not for {wanted}: choose one of {', '.join(others)}")
    space = _CLASSIFIER_SPACES.get(name, spec.space) if kind == "classification" else spec.space
    if pairwise:
        space = {key: values for key, values in space.items() if key != "gamma"}
    searched = (search.space or space) if search else ()
    given = frozenset({*parameters, *searched})
    model = spec.make(Request(kind, random_state, check_n_jobs(n_jobs), pairwise, given))
    _check_parameters(name, parameters, model.get_params())
    model.set_params(**parameters)
    _check_pairwise(name, model, pairwise)
    prefix = ""
    if spec.target_scaled and kind == "regression":
        model, prefix = ScaledTarget(model, transformer=StandardScaler()), "regressor__"
    elif spec.calibrated and kind == "classification":
        folds = StratifiedKFold(5, shuffle=True, random_state=random_state)
        model, prefix = Calibrated(model, cv=folds, ensemble=False), "estimator__"
    steps: list[tuple[str, Any]] = []
    if spec.imputed and not pairwise:
        steps.append(("impute", SimpleImputer(keep_empty_features=True)))
        if spec.scaled:  # in place: the imputer has made a copy
            steps.append(("scale", StandardScaler(copy=False)))
    if steps:
        model, prefix = Pipeline([*steps, ("model", model)]), f"model__{prefix}"
    return model if search is None else _searched(name, model, search, space, kind, prefix)


def _searched(name: str, model: Any, search: Search, space: Space, kind: str, prefix: str) -> Any:
    if not space and search.space is None:
        raise ValueError(
            f"search: model {name!r} has no default space"
            + (", it chooses its hyperparameters itself" if name in MODELS and name != "dummy" else "")
            + ": leave search out, or give it a space"
        )
    return search.wrap(model, space, kind, prefix)


def _imported(path: str, kind: str, random_state: int | None, n_jobs: int, parameters: Mapping[str, Any]) -> Any:
    """Return an instance of a class given by its import path."""
    module, _, attribute = path.rpartition(".")
    try:
        made: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model {path!r} cannot be imported: {error}") from error
    if not inspect.isclass(made) or not all(hasattr(made, method) for method in ("fit", "predict", "get_params")):
        raise ValueError(f"model {path!r} must be a class with fit, predict and get_params")
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
    model: Any = made(**own)
    if nested:
        _check_parameters(path, nested, model.get_params())
        model.set_params(**nested)
    right, wrong = (is_regressor, is_classifier) if kind == "regression" else (is_classifier, is_regressor)
    if wrong(model) and not right(model):
        raise ValueError(f"model {path!r} is not for {kind}")
    return model


def _check_pairwise(name: str, model: Any, pairwise: bool) -> None:
    if name != "dummy" and bool(get_tags(model).input_tags.pairwise) != pairwise:
        raise ValueError(
            f"model {name!r} takes {'no ' if pairwise else ''}kernels between samples with these parameters: "
            f"pairwise must be {not pairwise}"
        )


def _check_parameters(model: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            names = sorted(key for key in known if "__" not in key)
            close = difflib.get_close_matches(key, names, n=1)
            raise ValueError(
                f"model {model!r}: parameters must be among {', '.join(names)}, got {key!r}"
                + (f": did you mean {close[0]!r}?" if close else "")
            )


# Fitted models ----------------------------------------------------------------------------------------------------


def unwrap(model: Any) -> tuple[list[Any], Any]:
    """Return what stands before the model proper, and this, without searches and transformations of the target.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`make_model` returns.

    Returns
    -------
    transformers : list
        Fitted transformers of the features.
    model : estimator
        The fitted model that sees their result; its targets may be scaled.
    """
    before: list[Any] = []
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, Pipeline):
            before += [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
            model = model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor) and hasattr(model, "regressor_"):
            model = model.regressor_
        elif isinstance(model, Calibrated) and hasattr(model, "calibrated_classifiers_"):
            model = model.calibrated_classifiers_[0].estimator
        else:
            return before, model


def chosen_parameters(model: Any) -> dict[str, Any]:
    """Return the hyperparameters that a fitted model has chosen, by a search or by itself; empty if none."""
    chosen: dict[str, Any] = {}
    if hasattr(model, "best_estimator_") and hasattr(model, "best_params_"):
        chosen = {name.rpartition("__")[2]: value for name, value in model.best_params_.items()}
    _, inner = unwrap(model)
    if isinstance(inner, RidgeCV | LassoCV):
        chosen["alpha"] = float(inner.alpha_)
    return chosen | dict(getattr(inner, "best_params_", {}))


def standard_deviation(model: Any, X: Any) -> npt.NDArray[np.float64] | None:
    """Return the standard deviation of predictions by a fitted regressor's own account.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`make_model` returns.
    X : array, shape (n_samples, n_features)
        Features.

    Returns
    -------
    ndarray of float64, shape (n_samples,), or None
        That of a Gaussian process, or between the trees of a random forest, which is no measure of the error, but
        larger where that is likely to be. None for models without either.
    """
    before, inner = unwrap(model)
    if isinstance(inner, GaussianProcess):
        if not inner.constant_diagonal_:
            return None
    elif not isinstance(inner, RandomForestRegressor):
        return None
    for transformer in before:
        X = transformer.transform(X)
    if isinstance(inner, GaussianProcess):
        return np.asarray(inner.predict(X, return_std=True)[1])
    X = np.asarray(X, dtype=np.float32)  # as trees want it, once
    mean, squares = inner.predict(X), np.zeros(len(X))
    for tree in inner.estimators_:
        squares += (tree.predict(X, check_input=False) - mean) ** 2
    return np.asarray(np.sqrt(squares / len(inner.estimators_)))

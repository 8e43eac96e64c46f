"""The models that have a name, with defaults that suit descriptors, and what a search tries for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import Lasso, LassoCV, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import Tags, get_tags
from sklearn.utils.fixes import parse_version

from atomprint.learn.estimators.bagged import BaggedClassifier, BaggedRegressor
from atomprint.learn.estimators.ensemble import EnsembleClassifier, EnsembleRegressor
from atomprint.learn.estimators.forest import MedianExtraTrees
from atomprint.learn.estimators.gaussian_process import GaussianProcess
from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
from atomprint.learn.estimators.neighbours import NeighborsClassifier, NeighborsRegressor
from atomprint.learn.estimators.network import ResidualNetworkClassifier, ResidualNetworkRegressor
from atomprint.learn.estimators.ridge import WideningRidgeCV
from atomprint.learn.estimators.similarity import KERNELS
from atomprint.learn.estimators.two_part import TwoPartTrees
from atomprint.learn.models.search import Interval, SearchSpace
from atomprint.util.extras import require
from atomprint.util.registry import public
from atomprint.util.types import Estimator

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
    cleaned : bool
        Whether features that are nothing but rounding become zeros; False for models made of others, which see to it.
    binned : bool
        Whether features become numbers of levels, for models that bin them.
    imputed : bool
        Whether missing features are replaced by the mean; False for models that can do with them.
    scaled : bool
        Whether features are scaled to mean 0 and standard deviation 1, and bounded (:class:`BoundedScaler`).
    extrapolates : bool
        Whether it goes on straight beyond training samples, as weighted sums do, so that its features may be ten times
        as far out as those of training samples; twice for others, which only interpolate.
    target_scaled : bool
        Whether targets are, for regression.
    calibrated : bool
        Whether probabilities are made from the scores of the classifier, by Platt's method in inner folds.
    """

    title: str
    description: str
    make: Callable[[Request], Estimator]
    space: SearchSpace = field(default_factory=dict)
    kinds: tuple[str, ...] = KINDS
    pairwise: bool = False
    cleaned: bool = True
    binned: bool = False
    imputed: bool = True
    scaled: bool = False
    extrapolates: bool = False
    target_scaled: bool = False
    calibrated: bool = False


@public("ScaledTarget", version=1)
class ScaledTarget(TransformedTargetRegressor):
    """A regressor of scaled targets, or of scaled logarithms, which also takes kernels between samples."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = get_tags(self.regressor).input_tags.pairwise
        return tags


@public("Calibrated", version=1)
class Calibrated(CalibratedClassifierCV):
    """A classifier with probabilities, which also takes kernels between samples."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = get_tags(self.estimator).input_tags.pairwise
        return tags


def _dummy(ask: Request) -> Estimator:
    return DummyRegressor(strategy="mean") if ask.regression else DummyClassifier(strategy="prior")


def _linear(ask: Request) -> Estimator:
    return LinearRegression() if ask.regression else LogisticRegression(C=np.inf, max_iter=1000)


def _ridge(ask: Request) -> Estimator:
    if not ask.regression:
        return LogisticRegression(max_iter=1000)
    return Ridge() if "alpha" in ask.given else WideningRidgeCV(alphas=np.logspace(-4, 4, 17))


def _lasso(ask: Request) -> Estimator:
    if not ask.regression:
        # The penalty was named in another way before 1.8.
        new = parse_version(sklearn.__version__) >= parse_version("1.8")
        penalty = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
        return LogisticRegression(**penalty, solver="saga", max_iter=2000, tol=1e-3, random_state=ask.random_state)
    if "alpha" in ask.given:
        return Lasso(max_iter=10_000, tol=1e-3)
    folds = KFold(5, shuffle=True, random_state=ask.random_state)
    return LassoCV(cv=folds, max_iter=10_000, tol=1e-3)


def _k_neighbors(ask: Request) -> Estimator:
    made = NeighborsRegressor if ask.regression else NeighborsClassifier
    return made(n_neighbors=5, weights="distance", n_jobs=ask.n_jobs)


def _svm(ask: Request) -> Estimator:
    kernel = "precomputed" if ask.pairwise else "rbf"
    if ask.regression:
        return SVR(kernel=kernel, C=10.0, epsilon=0.05, cache_size=500)
    return SVC(kernel=kernel, C=10.0, cache_size=500)


def _decision_tree(ask: Request) -> Estimator:
    made = DecisionTreeRegressor if ask.regression else DecisionTreeClassifier
    return made(min_samples_leaf=5, random_state=ask.random_state)


def _random_forest(ask: Request) -> Estimator:
    made = BaggedRegressor if ask.regression else BaggedClassifier
    return made(n_estimators=200, max_features="sqrt", random_state=ask.random_state, n_jobs=ask.n_jobs)


def _extra_trees(ask: Request) -> Estimator:
    if ask.regression:
        return MedianExtraTrees(300, max_features=0.5, random_state=ask.random_state, n_jobs=ask.n_jobs)
    return ExtraTreesClassifier(300, max_features=0.3, random_state=ask.random_state, n_jobs=ask.n_jobs)


def _two_part(ask: Request) -> Estimator:
    return TwoPartTrees(random_state=ask.random_state, n_jobs=ask.n_jobs)


def _hist_gradient_boosting(ask: Request) -> Estimator:
    made = HistGradientBoostingRegressor if ask.regression else HistGradientBoostingClassifier
    return made(max_iter=300, learning_rate=0.05, min_samples_leaf=10, random_state=ask.random_state)


def _xgboost(ask: Request) -> Estimator:
    xgboost = require("xgboost", "xgboost", "model 'xgboost'")
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


def _kernel_ridge(ask: Request) -> Estimator:
    kernels = ("precomputed",) if ask.pairwise else tuple(KERNELS)
    return KernelRidgeCV(kernels, random_state=ask.random_state)


def _gaussian_process(ask: Request) -> Estimator:
    kernels = ("precomputed",) if ask.pairwise else tuple(KERNELS)
    return GaussianProcess(kernels, random_state=ask.random_state)


def _mlp(ask: Request) -> Estimator:
    made = MLPRegressor if ask.regression else MLPClassifier
    return made(
        hidden_layer_sizes=(128, 64),
        alpha=1e-3,
        early_stopping=True,
        n_iter_no_change=20,
        max_iter=1000,
        random_state=ask.random_state,
    )


def _resnet(ask: Request) -> Estimator:
    for module in ("jax", "optax"):  # now, and not after features were computed
        require(module, "neural")
    made = ResidualNetworkRegressor if ask.regression else ResidualNetworkClassifier
    return made(random_state=ask.random_state)


def _ensemble(ask: Request) -> Estimator:
    made = EnsembleRegressor if ask.regression else EnsembleClassifier
    return made((), random_state=ask.random_state)


_LEAVES = Interval(1, 20, log=True, integer=True)
_RATE = Interval(0.01, 0.3, log=True)

MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "dummy": ModelSpec(
            "Baseline",
            "knows only the training targets: always predicts their mean, or the commonest class, which a model must "
            "beat to be of use",
            _dummy,
            cleaned=False,
            imputed=False,
        ),
        "linear": ModelSpec(
            "Linear model",
            "a weighted sum of the features (logistic regression for classes) without regularisation",
            _linear,
            scaled=True,
            extrapolates=True,
        ),
        "ridge": ModelSpec(
            "Ridge",
            "a weighted sum of the features (logistic regression for classes) that keeps weights small; for numbers, "
            "how small is chosen by leave-one-out within the training part",
            _ridge,
            {"alpha": Interval(1e-4, 1e4, log=True)},
            scaled=True,
            extrapolates=True,
        ),
        "lasso": ModelSpec(
            "Lasso",
            "a weighted sum of few of the features (logistic regression for classes); for numbers, how few is chosen "
            "by cross-validation within the training part",
            _lasso,
            {"alpha": Interval(1e-4, 1.0, log=True)},
            scaled=True,
            extrapolates=True,
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
        "extra_trees": ModelSpec(
            "Extremely randomised trees",
            "the median (for classes: the vote) of many decision trees with splits drawn at random, each of which ends "
            "at single training samples; nothing is tuned",
            _extra_trees,
            {"max_features": [0.1, 0.3, 0.5, 1.0], "min_samples_leaf": Interval(1, 10, log=True, integer=True)},
            imputed=False,
        ),
        "two_part": ModelSpec(
            "Trees in two parts",
            "for targets of which many are exactly the smallest, such as gaps of 0: extremely randomised trees tell "
            "which, others how large the rest is, and the median of both is predicted",
            _two_part,
            {"max_features": [0.1, 0.3, 0.5, 1.0]},
            kinds=("regression",),
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
            binned=True,
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
            binned=True,
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
        "resnet": ModelSpec(
            "Residual network",
            "a wide neural network, each layer of which adds to what those before it found, trained on absolute errors "
            "(for classes: their likelihood); for many samples",
            _resnet,
            {
                "width": Interval(128, 1024, log=True, integer=True),
                "n_layers": Interval(2, 5, integer=True),
                "dropout": Interval(0.0, 0.3),
                "learning_rate": Interval(1e-3, 1e-2, log=True),
            },
            scaled=True,
            target_scaled=True,
        ),
        "ensemble": ModelSpec(
            "Ensemble",
            "a few models of different kinds together; how much each of them counts is found within the training part, "
            "by predictions of samples that it was not fitted to",
            _ensemble,
            cleaned=False,
            imputed=False,
        ),
    }
)
"""The models that :func:`make_model` knows."""

# Where the classifier of a name has another hyperparameter than the regressor.
CLASSIFIER_SPACES: Mapping[str, SearchSpace] = MappingProxyType(
    {name: {"C": Interval(1e-4, 1e4, log=True)} for name in ("ridge", "lasso")}
)

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "baseline": "dummy",
        **dict.fromkeys(("linear_regression", "logistic", "logistic_regression", "ols"), "linear"),
        **dict.fromkeys(("knn", "kneighbors", "k_nearest_neighbors", "nearest_neighbors"), "k_neighbors"),
        **dict.fromkeys(("svr", "svc", "support_vector_machine"), "svm"),
        **dict.fromkeys(("tree", "cart"), "decision_tree"),
        **dict.fromkeys(("rf", "forest"), "random_forest"),
        "et": "extra_trees",
        **dict.fromkeys(("gradient_boosting", "boosting", "gbdt", "hgb"), "hist_gradient_boosting"),
        "xgb": "xgboost",
        "krr": "kernel_ridge",
        **dict.fromkeys(("gp", "gpr"), "gaussian_process"),
        **dict.fromkeys(("neural_network", "nn"), "mlp"),
    }
)
"""What else people call these models, in lower case."""

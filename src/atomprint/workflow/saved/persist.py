"""Pipelines as bytes and back, without pickle: skops, and XGBoost's own format beside it."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.neighbors import BallTree, KDTree
from sklearn.pipeline import Pipeline
from sklearn.utils.discovery import all_estimators

# All classes that files know by name; what these modules import has the others.
import atomprint.descriptors
import atomprint.grids.statistics
import atomprint.learn.estimators.bounded_scaler
import atomprint.learn.estimators.except_blocks
import atomprint.learn.estimators.levels
import atomprint.learn.estimators.log_target
import atomprint.learn.estimators.selection
import atomprint.learn.models.catalogue
import atomprint.learn.task.noise
import atomprint.trajectories.time_series
import atomprint.workflow.saved.pipeline  # noqa: F401
from atomprint.util.extras import require
from atomprint.util.registry import KNOWN, Known, path_of, public
from atomprint.workflow.saved.bounds import check_booster, check_parts, parts_of
from atomprint.workflow.saved.container import ModelFileError, check_archive, describe
from atomprint.workflow.saved.pretrained import check_trusted
from atomprint.workflow.saved.schema import SCHEMA, check_schema, parse
from atomprint.workflow.saved.trees import TreeMember, put_trees, take_trees

PIPELINE = "pipeline.skops"

_OWN = "atomprint"  # the module of public names

# Parts of fitted models beside estimators. None of them runs anything given to it.
_PARTS = (
    "scipy.sparse._csr.csr_array",  # an object of its own to skops before 0.15
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.link.HalfLogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.ExponentialLoss",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.HuberLoss",
    "sklearn._loss.loss.PinballLoss",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.preprocessing._label.LabelBinarizer",
)
# Parts of scikit-learn whose estimators predict with NumPy, or with compiled code whose indices ``bounds`` checks.
# Others must be named in trusted.
_MODULES = (
    "calibration",
    "compose",
    "cross_decomposition",
    "decomposition",
    "discriminant_analysis",
    "dummy",
    "ensemble",
    "feature_selection",
    "gaussian_process",
    "impute",
    "isotonic",
    "kernel_approximation",
    "kernel_ridge",
    "linear_model",
    "model_selection",
    "multiclass",
    "multioutput",
    "naive_bayes",
    "neighbors",
    "neural_network",
    "pipeline",
    "preprocessing",
    "random_projection",
    "svm",
    "tree",
)
_NOT = ("IsolationForest", "KernelDensity", "LatentDirichletAllocation", "LocalOutlierFactor", "OneClassSVM")

_XGBOOST = ("XGBRegressor", "XGBClassifier")


@public("XGBoostMember", version=1)
class XGBoostMember(BaseEstimator):
    """Stands in a saved pipeline for an XGBoost model, which is a member of the file in the library's own format.

    Parameters
    ----------
    kind : {"XGBRegressor", "XGBClassifier"}
        Class of the model.
    parameters : dict
        Its parameters.
    member : str or None
        Name of the member; None for a model that is not fitted.
    """

    def __init__(self, kind: str, parameters: dict[str, Any], member: str | None) -> None:
        self.kind = kind
        self.parameters = parameters
        self.member = member


def dump_pipeline(pipeline: Pipeline, trusted: Iterable[str] = ()) -> dict[str, bytes]:
    """Return the members of a model file that hold a pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        A fitted pipeline.
    trusted : iterable of str
        Further types that it may hold.

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    TypeError
        If the pipeline holds something that could not be loaded again.
    """
    from skops import io as skops

    members: dict[str, bytes] = {}
    allowed = {*map(path_of, (known.cls for known in KNOWN.values())), *_known(), *trusted}
    places: dict[int, Any] = {}
    try:
        check_parts(pipeline)
        of_trees, instead = take_trees(parts_of(pipeline))
        members |= of_trees
        places |= instead
        for number, found in enumerate(filter(_is_xgboost, parts_of(pipeline))):
            member = None
            if found.__sklearn_is_fitted__():
                member = f"xgboost-{number}.json"
                members[member] = bytes(found.get_booster().save_raw("json"))
                check_booster(members[member])
            places[id(found)] = XGBoostMember(type(found).__name__, found.get_params(), member)
        # Trees of neighbours are made anew: their indices need no trust, and the file no room.
        places |= {id(found): None for found in parts_of(pipeline) if isinstance(found, KDTree | BallTree)}
        if places:
            pipeline = deepcopy(pipeline, places)
        data = skops.dumps(pipeline)
        unknown = check_schema(data, allowed)
    except Exception as error:  # skops raises whatever it meets
        raise TypeError(f"the pipeline cannot be saved: {describe(error)}") from error
    if unknown:
        raise TypeError(
            f"the pipeline cannot be saved: it holds {', '.join(unknown)}, which is not among the types "
            "that are safe to load; functions, above all, cannot be saved. Types that you know to be safe can be "
            "named in trusted, in save and in load_model"
        )
    return {PIPELINE: _public(data), **members}


def load_pipeline(members: Mapping[str, bytes], trusted: Iterable[str] = ()) -> Pipeline:
    """Return the pipeline that :func:`dump_pipeline` made members from.

    Nothing is imported or made before the file is known to be a plain model of trusted types, and nothing is returned
    before the indices in it are known to stay inside. Classes of atomprint are found by their public names alone: a
    file that gives one by the path of its module is refused like any other.

    Raises
    ------
    ImportError
        If XGBoost is needed and not installed.
    ModelFileError
        If a member is missing or damaged, holds other types than trusted ones, or classes of atomprint whose numbers
        are others in this version.
    """
    from skops import io as skops

    if PIPELINE not in members:
        raise ModelFileError(f"there is no {PIPELINE} in the file")
    trusted = {*trusted}
    with _whatever(f"{PIPELINE} cannot be read"):
        data, own = _private(members[PIPELINE])
        unknown = check_schema(data, {*own, *_known(), *trusted})
        needed = [] if unknown else skops.get_untrusted_types(data=data)
    if unknown:
        raise ModelFileError(
            f"{PIPELINE} holds types that are not trusted, and was not loaded: {', '.join(unknown)}. "
            "Such a file may run anything; if you know its origin and these types, name them in trusted"
        )
    with _whatever(f"{PIPELINE} cannot be loaded"), warnings.catch_warnings():
        # Each estimator would say so; load_model says it once, in words.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        pipeline = skops.loads(data, trusted=needed)
    if not isinstance(pipeline, Pipeline):
        raise ModelFileError(f"{PIPELINE} must hold a Pipeline of features and a model, got {type(pipeline).__name__}")
    used = {PIPELINE}
    with _whatever(f"{PIPELINE} cannot be loaded"):
        places, of_trees = put_trees((part for part in parts_of(pipeline) if isinstance(part, TreeMember)), members)
        used |= of_trees
        if places:
            pipeline = deepcopy(pipeline, places)
        check_parts(pipeline)
        check_trusted(pipeline, trusted)
        places = {}
        for found in filter(_is_member, parts_of(pipeline)):
            places[id(found)] = _restore(found, members)
            used.add(found.member)
        if places:
            pipeline = deepcopy(pipeline, places)
        steps = [step for step in pipeline.steps if len(step) == 2 and isinstance(step[0], str)]
        if len(steps) < 2 or len(steps) != len(pipeline.steps):
            raise ModelFileError("must hold a Pipeline of features and a model")
    unused = sorted(set(members) - used)
    if unused:
        raise ModelFileError(f"the file holds {unused[0]!r}, which nothing in it uses")
    return pipeline


def uses_xgboost(pipeline: Pipeline) -> bool:
    """Return whether there is an XGBoost model in a pipeline."""
    return any(map(_is_xgboost, parts_of(pipeline)))


@contextmanager
def _whatever(what: str) -> Iterator[None]:
    """Turn whatever a file makes libraries raise into one error, in words."""
    try:
        yield
    except ImportError:
        raise
    except ModelFileError as error:
        text = str(error)
        raise ModelFileError(text if text.startswith(PIPELINE) else f"{what}: {text}") from error
    except Exception as error:
        raise ModelFileError(f"{what}: {describe(error)}") from error


@cache
def _known() -> frozenset[str]:
    """Return the paths of the classes of other packages that files may hold without a word."""
    found = [cls for _, cls in all_estimators() if cls.__name__ not in _NOT]
    return frozenset((*map(path_of, (cls for cls in found if cls.__module__.split(".")[1] in _MODULES)), *_PARTS))


def _is_xgboost(item: Any) -> bool:
    kind = type(item)
    return kind.__module__ == "xgboost.sklearn" and kind.__name__ in _XGBOOST


def _is_member(item: Any) -> bool:
    return isinstance(item, XGBoostMember)


def _restore(place: XGBoostMember, members: Mapping[str, bytes]) -> Any:
    xgboost = require("xgboost", "xgboost", "this model")
    if place.kind not in _XGBOOST or not isinstance(place.parameters, dict):
        raise ModelFileError(f"a model of XGBoost must be one of {', '.join(_XGBOOST)}, got {place.kind!r}")
    model = getattr(xgboost, place.kind)(**place.parameters)
    if place.member is not None:
        if place.member not in members:
            raise ModelFileError(f"there is no member {place.member!r} in the file")
        model.load_model(bytearray(check_booster(members[place.member])))
        model.set_params(**place.parameters)  # those of the file are what the booster was fitted with
    return model


def _public(data: bytes) -> bytes:
    """Return a skops archive with what stays in it: public names of classes, running numbers instead of addresses.

    So files can be read after a class has moved, and the same training gives the same bytes. A class becomes
    ``"SOAP:1"`` of ``"atomprint"``: its public name and the version of its numbers.
    """
    names = {path_of(known.cls): name for name, known in KNOWN.items()}
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def edit(node: dict[str, Any]) -> None:
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.{suffix}")
        name = names.get(f"{node.get('__module__')}.{node.get('__class__')}")
        if name is not None:
            node["__module__"], node["__class__"] = _OWN, f"{name}:{_version(KNOWN[name], node)}"

    return _edited(data, edit, files)


def _private(data: bytes) -> tuple[bytes, set[str]]:
    """Return a skops archive with classes where they are now instead of public names, and which classes these are.

    Raises
    ------
    ModelFileError
        If there is no such class, or its numbers are of another version.
    """
    found: set[str] = set()
    by_path: set[str] = set()  # without a version that could be compared

    def edit(node: dict[str, Any]) -> None:
        if node.get("__module__") != _OWN:
            by_path.add(f"{node.get('__module__')}.{node.get('__class__')}")
            return
        name, _, version = str(node.get("__class__")).partition(":")
        known = KNOWN.get(name)
        if known is None:
            raise ModelFileError(f"{PIPELINE} holds {name!r}, which this atomprint does not know: update atomprint")
        if not version.isascii() or not version.isdigit():
            raise ModelFileError(f"{PIPELINE} cannot be read: the version of {name} must be a number, got {version!r}")
        own = _version(known, node)
        if int(version) != own:
            raise ModelFileError(
                f"{PIPELINE} holds {name} with the numbers of its version {version}, this atomprint has version "
                f"{own}, whose numbers are others: "
                + ("update atomprint" if int(version) > own else "train the model again")
            )
        path = path_of(known.cls)
        found.add(path)
        node["__module__"], _, node["__class__"] = path.rpartition(".")

    return _edited(data, edit, {}), found - by_path


def _version(known: Known, node: Mapping[str, Any]) -> int:
    """Return the version of the numbers of an object, which may depend on its parameters."""
    state = node.get("content")
    parameters = state.get("content") if isinstance(state, dict) else None
    if isinstance(parameters, dict):
        for (parameter, value), version in known.versions.items():
            if value in json.dumps(parameters.get(parameter)):
                return version
    return known.version


def _edited(data: bytes, edit: Callable[[dict[str, Any]], None], files: Mapping[str, str]) -> bytes:
    """Return a skops archive after an edit of each node of its schema, with files under other names."""

    def walk(state: Any) -> None:
        if isinstance(state, dict):
            edit(state)
        for part in state.values() if isinstance(state, dict) else state if isinstance(state, list) else ():
            walk(part)

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(buffer, "w") as archive:
        infos = check_archive(given, len(data), PIPELINE)
        schema = parse(given.read(SCHEMA))
        walk(schema)
        archive.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema))
        for name in infos:
            if name != SCHEMA:
                archive.writestr(zipfile.ZipInfo(files.get(name, name)), given.read(name))
    return buffer.getvalue()

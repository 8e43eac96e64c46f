"""Pipelines as bytes and back, without pickle: skops, and XGBoost's own format beside it."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from atomprint.util.extras import require
from atomprint.util.registry import KNOWN, path_of, public
from atomprint.workflow.saved.container import ModelFileError

PIPELINE = "pipeline.skops"

_SCHEMA = "schema.json"
_OWN = "atomprint"  # the module of public names

# Parts of fitted models that skops does not list itself. None of them runs anything given to it.
_PARTS = (
    "numpy.dtype",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)

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
    allowed = {*map(path_of, (known.cls for known in KNOWN.values())), *_PARTS, *trusted}
    places: dict[int, Any] = {}
    for number, found in enumerate(_search(pipeline, _is_xgboost)):
        member = None
        if found.__sklearn_is_fitted__():
            member = f"xgboost-{number}.ubj"
            members[member] = bytes(found.get_booster().save_raw("ubj"))
        places[id(found)] = XGBoostMember(type(found).__name__, found.get_params(), member)
    if places:
        pipeline = deepcopy(pipeline, places)
    try:
        data = skops.dumps(pipeline)
        untrusted = set(skops.get_untrusted_types(data=data)) - allowed
    except Exception as error:  # skops raises whatever it meets
        raise TypeError(f"the pipeline cannot be saved: {error}") from error
    if untrusted:
        raise TypeError(
            f"the pipeline cannot be saved: it holds {', '.join(sorted(untrusted))}, which is not among the types "
            "that are safe to load; functions, above all, cannot be saved. Types that you know to be safe can be "
            "named in trusted, in save and in load_model"
        )
    return {PIPELINE: _public(data), **members}


def load_pipeline(members: Mapping[str, bytes], trusted: Iterable[str] = ()) -> Pipeline:
    """Return the pipeline that :func:`dump_pipeline` made members from.

    Nothing is imported or made before all types are known to be trusted. Classes of atomprint are found by their public
    names alone: a file that gives one by the path of its module is refused like any other.

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
    try:
        data, own = _private(members[PIPELINE])
        needed, allowed = set(skops.get_untrusted_types(data=data)), {*own, *_PARTS, *trusted}
    except ModelFileError:
        raise
    except Exception as error:  # of a file that skops did not write
        raise ModelFileError(f"{PIPELINE} cannot be read: {error!r}") from error
    if needed - allowed:
        raise ModelFileError(
            f"{PIPELINE} holds types that are not trusted, and was not loaded: {', '.join(sorted(needed - allowed))}. "
            "Such a file may run anything; if you know its origin and these types, name them in trusted"
        )
    try:
        with warnings.catch_warnings():
            # Each estimator would say so; load_model says it once, in words.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            pipeline = skops.loads(data, trusted=sorted(needed))
    except Exception as error:
        raise ModelFileError(f"{PIPELINE} cannot be loaded: {error!r}") from error
    places = {id(found): _restore(found, members) for found in _search(pipeline, _is_member)}
    if places:
        pipeline = deepcopy(pipeline, places)
    if not isinstance(pipeline, Pipeline) or len(pipeline.steps) < 2:
        raise ModelFileError(f"{PIPELINE} must hold a Pipeline of features and a model, got {type(pipeline).__name__}")
    return pipeline


def uses_xgboost(pipeline: Pipeline) -> bool:
    """Return whether there is an XGBoost model in a pipeline."""
    return next(_search(pipeline, _is_xgboost), None) is not None


def _is_xgboost(item: Any) -> bool:
    kind = type(item)
    return kind.__module__ == "xgboost.sklearn" and kind.__name__ in _XGBOOST


def _is_member(item: Any) -> bool:
    return isinstance(item, XGBoostMember)


def _search(item: Any, wanted: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield what is wanted among the parts of an estimator, wherever it is nested, each once."""
    seen = set() if seen is None else seen
    if id(item) in seen:
        return
    seen.add(id(item))
    if wanted(item):
        yield item
    elif isinstance(item, list | tuple):
        for part in item:
            yield from _search(part, wanted, seen)
    elif isinstance(item, np.ndarray) and item.dtype == object:
        for part in item.flat:
            yield from _search(part, wanted, seen)
    elif isinstance(item, dict):
        for part in item.values():
            yield from _search(part, wanted, seen)
    elif isinstance(item, BaseEstimator) or type(item).__module__.startswith("sklearn."):
        yield from _search(getattr(item, "__dict__", {}), wanted, seen)


def _restore(place: XGBoostMember, members: Mapping[str, bytes]) -> Any:
    xgboost = require("xgboost", "xgboost", "this model")
    if place.kind not in _XGBOOST or not isinstance(place.parameters, dict):
        raise ModelFileError(f"a model of XGBoost must be one of {', '.join(_XGBOOST)}, got {place.kind!r}")
    model = getattr(xgboost, place.kind)(**place.parameters)
    if place.member is not None:
        if place.member not in members:
            raise ModelFileError(f"there is no member {place.member!r} in the file")
        try:
            model.load_model(bytearray(members[place.member]))
        except xgboost.core.XGBoostError as error:
            raise ModelFileError(f"{place.member} cannot be loaded: {error}") from error
        model.set_params(**place.parameters)  # those of the file are what the booster was fitted with
    return model


def _public(data: bytes) -> bytes:
    """Return a skops archive with what stays in it: public names of classes, running numbers instead of addresses.

    So files can be read after a class has moved, and the same training gives the same bytes. A class becomes
    ``"SOAP:1"`` of ``"atomprint"``: its public name and the version of its numbers.
    """
    names = {path_of(known.cls): f"{name}:{known.version}" for name, known in KNOWN.items()}
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
            node["__module__"], node["__class__"] = _OWN, name

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
        name, _, version = node["__class__"].partition(":")
        known = KNOWN.get(name)
        if known is None:
            raise ModelFileError(f"{PIPELINE} holds {name!r}, which this atomprint does not know: update atomprint")
        if int(version) != known.version:
            raise ModelFileError(
                f"{PIPELINE} holds {name} with the numbers of its version {version}, this atomprint has version "
                f"{known.version}, whose numbers are others: "
                + ("update atomprint" if int(version) > known.version else "train the model again")
            )
        path = path_of(known.cls)
        found.add(path)
        node["__module__"], _, node["__class__"] = path.rpartition(".")

    return _edited(data, edit, {}), found - by_path


def _edited(data: bytes, edit: Callable[[dict[str, Any]], None], files: Mapping[str, str]) -> bytes:
    """Return a skops archive after an edit of each node of its schema, with files under other names."""

    def walk(state: Any) -> None:
        if isinstance(state, dict):
            edit(state)
        for part in state.values() if isinstance(state, dict) else state if isinstance(state, list) else ():
            walk(part)

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(buffer, "w") as archive:
        schema = json.loads(given.read(_SCHEMA))
        walk(schema)
        archive.writestr(zipfile.ZipInfo(_SCHEMA), json.dumps(schema))
        for name in given.namelist():
            if name != _SCHEMA:
                archive.writestr(zipfile.ZipInfo(files.get(name, name)), given.read(name))
    return buffer.getvalue()

"""Fitted parts of models whose compiled code follows indices without looking: they are looked at here.

scikit-learn and XGBoost trust their own arrays. A child of a node far outside of its tree, a support vector with too
few features or a sparse matrix with a column that it does not have reads (or writes) memory that is somebody else's, at
the first prediction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

import atomprint.kernels  # noqa: F401  # one of its classes is known by name
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import KNOWN
from atomprint.workflow.saved.container import ModelFileError
from atomprint.workflow.saved.schema import parse

Indices = npt.NDArray[np.int64]

_LEAF = -1
_NO_PARENT = 2**31 - 1  # of XGBoost
_BOOSTERS = ("gbtree", "dart")
_MOST_OUTPUTS = 100_000


def parts_of(item: Any) -> Iterator[Any]:
    """Yield an object and all that it consists of, however nested, each once."""
    seen, waiting = set[int](), [item]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type | FunctionType | ModuleType):
            continue
        seen.add(id(part))
        yield part
        below: Any = ()
        if isinstance(part, list | tuple | set | frozenset):
            below = part
        elif isinstance(part, Mapping):
            below = part.values()
        elif isinstance(part, np.ndarray):
            below = part.flat if part.dtype == object else ()
        if not isinstance(part, np.ndarray) and not sparse.issparse(part):
            slots = (getattr(part, name, None) for cls in type(part).__mro__ for name in _slots(cls))
            below = [*below, *getattr(part, "__dict__", {}).values(), *slots]
        waiting += reversed(list(below))


def _slots(cls: type[Any]) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def check_parts(item: Any) -> None:
    """Raise ``ModelFileError`` where an index in a fitted part leads outside; make trees of neighbours anew."""
    for part in parts_of(item):
        for kinds, check in _CHECKS:
            if isinstance(part, kinds):
                check(part)


def _refuse(part: Any, what: str) -> NoReturn:
    raise ModelFileError(f"{type(part).__name__} does not fit together: {what}")


def _width(part: Any) -> int | None:
    """Return the number of features that an estimator was fitted to; None if it is not fitted."""
    fitted = [name for name in vars(part) if name.endswith("_") and not name.startswith("__")]
    n = getattr(part, "n_features_in_", None)
    if n is None and not fitted:
        return None
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        _refuse(part, f"n_features_in_ must be a number of features, got {n!r}")
    return int(n)


# Trees ----------------------------------------------------------------------------------------------------------------


def _depth(part: Any, left: Indices, right: Indices, inner: npt.NDArray[np.bool_]) -> int:
    """Return the depth of a binary tree; refuse what is none: each node but the first has one parent before it."""
    n, at = len(inner), np.flatnonzero(inner)
    children = np.concatenate([left[at], right[at]])
    if n == 0 or not ((children > 0) & (children < n)).all():
        _refuse(part, f"a node of {n} has a child outside of it")
    if not (np.bincount(children, minlength=n)[1:] == 1).all():
        _refuse(part, "a node must have one parent")
    depth, front, found = 0, np.zeros(1, dtype=np.int64), 1
    while len(front := front[inner[front]]):
        front = np.concatenate([left[front], right[front]])
        depth, found = depth + 1, found + len(front)
    if found != n:
        _refuse(part, "a node cannot be reached from the first one")
    return depth


def _tree(tree: Tree) -> None:
    if tree.capacity != tree.node_count or tree.node_count < 1:
        _refuse(tree, f"it has room for {tree.capacity} nodes and says that it has {tree.node_count}")
    nodes = tree.__getstate__()["nodes"]
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    inner = left != _LEAF
    if not ((right == _LEAF) == ~inner).all():
        _refuse(tree, "a node has one child")
    if _depth(tree, left, right, inner) != tree.max_depth:
        _refuse(tree, f"it is not {tree.max_depth} levels deep")
    features = nodes["feature"][inner]
    if not ((features >= 0) & (features < tree.n_features)).all():
        _refuse(tree, f"a node asks for a feature that is not among {tree.n_features}")
    if np.isnan(nodes["threshold"][inner]).any() or not np.isfinite(tree.value).all():
        _refuse(tree, "a threshold or a value is not a number")
    if (nodes["n_node_samples"] < 1).any():
        _refuse(tree, "a node has no samples")


def _decision_tree(part: BaseDecisionTree) -> None:
    n, tree = _width(part), getattr(part, "tree_", None)
    if n is None:
        return
    if not isinstance(tree, Tree) or tree.n_features != n:
        _refuse(part, f"its tree must be of {n} features")
    if part.n_outputs_ != tree.n_outputs:
        _refuse(part, f"its tree must have {part.n_outputs_} outputs")
    if is_classifier(part) and tree.n_outputs == 1 and tree.max_n_classes != len(part.classes_):
        _refuse(part, f"its tree must have {len(part.classes_)} classes")


def _same_trees(part: Any, trees: Any, n: int) -> None:
    for tree in trees:
        if not isinstance(tree, BaseDecisionTree) or not isinstance(getattr(tree, "tree_", None), Tree):
            _refuse(part, f"its trees must be fitted trees, got {type(tree).__name__}")
        if tree.tree_.n_features != n:
            _refuse(part, f"its trees must be of {n} features")


def _forest(part: BaseForest) -> None:
    n = _width(part)
    if n is None:
        return
    if not isinstance(part.estimators_, list) or not part.estimators_:
        _refuse(part, "it must have a list of trees")
    _same_trees(part, part.estimators_, n)
    if any(tree.tree_.n_outputs != part.n_outputs_ for tree in part.estimators_):
        _refuse(part, f"its trees must have {part.n_outputs_} outputs")


def _boosting(part: BaseGradientBoosting) -> None:
    n = _width(part)
    if n is None:
        return
    trees = part.estimators_
    if not isinstance(trees, np.ndarray) or trees.ndim != 2 or trees.dtype != object or not trees.size:
        _refuse(part, "it must have a table of trees")
    _same_trees(part, trees.flat, n)
    if any(tree.tree_.n_outputs != 1 or tree.tree_.max_n_classes != 1 for tree in trees.flat):
        _refuse(part, "its trees must have one value")
    raw = part._raw_predict_init(np.zeros((1, n), dtype=np.float32))
    if raw.shape != (1, trees.shape[1]) or raw.dtype != np.float64 or part.n_trees_per_iteration_ != trees.shape[1]:
        _refuse(part, f"it begins with {raw.shape[-1]} values for {trees.shape[1]} trees")


def _predictor(part: TreePredictor) -> None:
    nodes = part.nodes
    if not isinstance(nodes, np.ndarray) or nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1:
        _refuse(part, "it must have nodes")
    if not nodes.flags.c_contiguous or nodes["is_categorical"].any():
        _refuse(part, "features that are classes cannot be saved")
    inner = nodes["is_leaf"] == 0
    _depth(part, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), inner)
    if (nodes["feature_idx"][inner] < 0).any():
        _refuse(part, "a node asks for a feature before the first")
    if np.isnan(nodes["num_threshold"][inner]).any() or not np.isfinite(nodes["value"]).all():
        _refuse(part, "a threshold or a value is not a number")


def _histogram_boosting(part: BaseHistGradientBoosting) -> None:
    n = _width(part)
    if n is None:
        return
    if getattr(part, "is_categorical_", None) is not None or getattr(part, "_preprocessor", None) is not None:
        _refuse(part, "features that are classes cannot be saved")
    mapper = part._bin_mapper
    if not isinstance(mapper.is_categorical_, np.ndarray) or mapper.is_categorical_.any():
        _refuse(part, "features that are classes cannot be saved")
    if len(mapper.is_categorical_) != n or len(mapper.bin_thresholds_) != n:
        _refuse(part, f"its bins must be those of {n} features")
    if not isinstance(part._predictors, list) or not part._predictors:
        _refuse(part, "it must have trees")
    for trees in part._predictors:
        if not isinstance(trees, list) or len(trees) != part.n_trees_per_iteration_:
            _refuse(part, f"it must have {part.n_trees_per_iteration_} trees in each step")
        for tree in trees:
            if not isinstance(tree, TreePredictor):
                _refuse(part, f"its trees must be trees, got {type(tree).__name__}")
            used = tree.nodes["feature_idx"][tree.nodes["is_leaf"] == 0]
            if len(used) and used.max() >= n:
                _refuse(part, f"a node asks for a feature that is not among {n}")


# Neighbours, support vectors, sparse matrices -----------------------------------------------------------------------


def _neighbours(part: NeighborsBase) -> None:
    n = _width(part)
    if n is None:
        return
    rows, method = part._fit_X, part._fit_method
    if getattr(rows, "ndim", 0) != 2 or rows.dtype.kind != "f" or rows.shape != (part.n_samples_fit_, n):
        _refuse(part, f"it must keep {part.n_samples_fit_!r} samples of {n} features")
    if not np.isfinite(rows.data if sparse.issparse(rows) else rows).all():
        _refuse(part, "a feature is not a number")
    y = getattr(part, "_y", None)
    if y is not None and (not isinstance(y, np.ndarray) or len(y) != rows.shape[0] or y.dtype.kind not in "iuf"):
        _refuse(part, f"it must keep {rows.shape[0]} targets")
    if is_classifier(part) and (
        y is None or y.ndim != 1 or y.dtype.kind not in "iu" or ((y < 0) | (y >= len(part.classes_))).any()
    ):
        _refuse(part, f"its targets must be among {len(part.classes_)} classes")
    made: Any = None
    if method in ("kd_tree", "ball_tree"):
        if sparse.issparse(rows):
            _refuse(part, f"a {method} needs dense features")
        kind = KDTree if method == "kd_tree" else BallTree
        made = kind(rows, part.leaf_size, metric=part.effective_metric_, **part.effective_metric_params_)
    elif method != "brute":
        _refuse(part, f"it must find neighbours by kd_tree, ball_tree or brute, got {method!r}")
    part._tree = made


def _svm(part: BaseLibSVM) -> None:
    n = _width(part)
    if n is None:
        return
    counts, vectors, weights = part._n_support, part.support_vectors_, part._dual_coef_
    intercept, support = part._intercept_, part.support_
    k, n_vectors = len(counts), len(support)
    pairs = k * (k - 1) // 2
    if is_classifier(part) and (k != len(part.classes_) or counts.sum() != n_vectors or (counts < 0).any()):
        _refuse(part, f"{n_vectors} support vectors do not belong to {len(part.classes_)} classes")
    if k < 2 or weights.shape != (k - 1, n_vectors) or intercept.shape != (pairs,):
        _refuse(part, f"{n_vectors} support vectors need as many weights, got {weights.shape}")
    for probability in (part._probA, part._probB):
        if len(probability) not in (0, pairs):
            _refuse(part, f"its probabilities must be of {pairs} pairs of classes")
    if len(part._probA) != len(part._probB):
        _refuse(part, "its probabilities must have two parameters for each pair of classes")
    if callable(part.kernel) or not isinstance(part._sparse, bool | np.bool_):
        _refuse(part, "its kernel must have a name")
    if part.kernel == "precomputed":
        n_fitted = part.shape_fit_[0]
        if n_fitted != n or (n_vectors and not 0 <= support.min() <= support.max() < n_fitted):
            _refuse(part, f"a support vector is not among {n_fitted} samples")
    elif vectors.shape != (n_vectors, n):
        _refuse(part, f"it must have {n_vectors} support vectors of {n} features, got {vectors.shape}")
    if part._sparse and (weights.nnz != weights.shape[0] * weights.shape[1] or not sparse.issparse(vectors)):
        _refuse(part, "its weights must all be there")


def _sparse(part: Any) -> None:
    try:
        part.check_format(full_check=True)
    except ValueError as error:
        _refuse(part, str(error))


_CHECKS: tuple[tuple[Any, Callable[[Any], None]], ...] = (
    (CheckedParameters, lambda part: part._validate()),  # what is loaded was not made by its constructor
    (KNOWN["Centers"].cls, lambda part: part.check()),
    (Tree, _tree),
    (BaseDecisionTree, _decision_tree),
    (BaseForest, _forest),
    (BaseGradientBoosting, _boosting),
    (TreePredictor, _predictor),
    (BaseHistGradientBoosting, _histogram_boosting),
    (NeighborsBase, _neighbours),
    (BaseLibSVM, _svm),
    ((sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.csc_matrix), _sparse),
)


# XGBoost --------------------------------------------------------------------------------------------------------------


def check_booster(data: bytes) -> bytes:
    """Return a model of XGBoost in its JSON after a look at all trees, written anew.

    Raises
    ------
    ModelFileError
        If it is not of trees of numbers, or an index in it leads outside.
    """
    try:
        model = parse(data)
        learner = model["learner"]
        booster = learner["gradient_booster"]
        if booster["name"] not in _BOOSTERS:
            raise ModelFileError(f"it must be one of {', '.join(_BOOSTERS)}, got {booster['name']!r}")
        inner = booster["gbtree"] if booster["name"] == "dart" else booster
        given = inner["model"]
        sizes = {name: int(learner["learner_model_param"][name]) for name in ("num_class", "num_feature", "num_target")}
        trees = given["trees"]
        groups = max(sizes["num_class"], 1) * max(sizes["num_target"], 1)
        if not (0 < sizes["num_feature"] < 2**31 and 0 < groups < _MOST_OUTPUTS):
            raise ModelFileError(f"it cannot have {sizes}")
        starts = given.get("iteration_indptr", [0, len(trees)])
        if (
            int(given["gbtree_model_param"]["num_trees"]) != len(trees)
            or len(given["tree_info"]) != len(trees)
            or not all(type(group) is int and 0 <= group < groups for group in given["tree_info"])
            or [starts[0], starts[-1]] != [0, len(trees)]
            or not all(type(start) is int for start in starts)
            or sorted(starts) != starts
            or (booster["name"] == "dart" and len(booster["weight_drop"]) != len(trees))
        ):
            raise ModelFileError(f"its {len(trees)} trees do not fit together")
        for tree in trees:
            _booster_tree(tree, sizes["num_feature"])
    except ModelFileError as error:
        raise ModelFileError(f"a model of XGBoost cannot be loaded: {error}") from error
    except Exception as error:
        raise ModelFileError("a model of XGBoost cannot be loaded: something is missing or of another kind") from error
    return json.dumps(model).encode()


def _booster_tree(tree: Mapping[str, Any], n_features: int) -> None:
    n = int(tree["tree_param"]["num_nodes"])
    columns = {
        name: _column(tree, name, n, np.int64)
        for name in ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
    }
    values = [
        _column(tree, name, n, np.float64)
        for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian")
    ]
    if tree["tree_param"]["size_leaf_vector"] not in ("0", "1") or any(tree.get("categories", ())):
        raise ModelFileError("its leaves must be single numbers, and its features, too")
    left, right, inner = columns["left_children"], columns["right_children"], columns["left_children"] != _LEAF
    if not ((right == _LEAF) == ~inner).all() or columns["split_type"].any():
        raise ModelFileError("a node of a tree must have two children or none")
    _depth(tree, left, right, inner)
    parents = np.full(n, _NO_PARENT)
    parents[left[inner]] = parents[right[inner]] = np.flatnonzero(inner)
    if (parents != columns["parents"]).any():
        raise ModelFileError("a node of a tree is not the child of its parent")
    split = columns["split_indices"]
    if not ((split >= 0) & (split < n_features)).all():
        raise ModelFileError(f"a node of a tree asks for a feature that is not among {n_features}")
    if not all(np.isfinite(column).all() for column in values):
        raise ModelFileError("a value of a tree is not a number")


def _column(tree: Mapping[str, Any], name: str, n: int, dtype: Any) -> npt.NDArray[Any]:
    column = np.array(tree[name])
    if column.shape != (n,) or column.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        raise ModelFileError(f"{name} must have {n} numbers")
    return column.astype(dtype)

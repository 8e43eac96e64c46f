"""Large trees as a crown that is kept and twigs that are grown anew from the training samples, the same each time.

Three of four nodes of a tree grown to single samples divide 16 samples or fewer, at random places among features
that hardly differ: digits of a random generator, of which 300 trees of 130,000 samples would keep a gigabyte. Here they
are grown by :func:`atomprint._core.grow_twigs`, as extremely randomised trees are, from one number for each tree; a
model file has the crowns and the training samples, and what is loaded is the same to the last bit. Splits are compared
in whole numbers and thresholds rounded once, so that this holds on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.tree._tree import Tree

from atomprint import _core
from atomprint.util.types import Array, FloatArray, Indices
from atomprint.util.validation import check_n_jobs

MOST = 16
"""Samples of a twig, at most; ``twig_samples`` of the core."""

_DIGITS = 2**18  # whole numbers that targets are compared by, to either side of their middle


@dataclass(frozen=True, eq=False)
class Ground:
    """The training samples that twigs grow on, sorted, so that equal ones are neighbours.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_samples, n_features)
        Features.
    targets : ndarray of float64, shape (n_samples,)
        Targets.
    chance : int
        Chance of a feature to be looked at, in 2^-32.
    """

    rows: npt.NDArray[np.float32]
    targets: FloatArray
    chance: int


class Crown(NamedTuple):
    """The upper part of a tree in preorder: whether nodes are its leaves, and features and thresholds of all."""

    is_leaf: npt.NDArray[np.uint8]
    feature: Indices
    threshold: npt.NDArray[np.float32]


def sorted_samples(X: Array, y: Array) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Return samples in an order of their own: by the bytes of their features, and by the target."""
    rows = np.ascontiguousarray(X, dtype=np.float32)
    rows = rows + np.float32(0)  # one zero, not two
    targets = np.asarray(y, dtype=np.float64)
    order = np.argsort(targets, kind="stable")
    keys = rows[order].view(f"V{rows.shape[1] * rows.itemsize}").ravel()
    order = order[np.argsort(keys, kind="stable")]
    return np.ascontiguousarray(rows[order]), np.ascontiguousarray(targets[order])


def rounded_down(threshold: FloatArray) -> npt.NDArray[np.float32]:
    """Return the largest float32 that is no larger: features of float32 go to the same side of it."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def crown_of(tree: Tree) -> Crown:
    """Return the nodes of a tree that are no part of a twig: those whose parent has more samples than a twig."""
    nodes = tree.__getstate__()["nodes"]
    inner = nodes["left_child"] >= 0
    large = inner & (nodes["n_node_samples"] > MOST)
    kept = np.zeros(len(nodes), dtype=bool)
    kept[0] = True
    kept[nodes["left_child"][large]] = kept[nodes["right_child"][large]] = True
    kept_nodes = nodes[kept]
    return Crown(
        (~large[kept]).astype(np.uint8),
        np.ascontiguousarray(kept_nodes["feature"], dtype=np.int64),
        rounded_down(kept_nodes["threshold"]),
    )


def grow_trees(crowns: Sequence[Crown], seeds: Sequence[int], ground: Ground, n_jobs: int | None = None) -> list[Tree]:
    """Return trees with the given crowns, whose twigs are grown.

    Parameters
    ----------
    crowns : sequence of Crown
        One for each tree.
    seeds : sequence of int
        One for each tree.
    ground : Ground
        Training samples.
    n_jobs : int, optional
        Number of threads; -1 means all cores. Trees do not depend on it.

    Raises
    ------
    ValueError
        If a crown does not fit the samples.
    """
    rows, targets = ground.rows, ground.targets
    columns = np.ascontiguousarray(rows.T)
    low, high = float(targets.min()), float(targets.max())
    scale = _DIGITS / max((high - low) / 2, np.finfo(np.float64).tiny)
    ranks = np.rint((targets - (low + high) / 2) * scale).astype(np.int32)

    def grow(crown: Crown, seed: int) -> Tree:
        found = _core.grow_twigs(*crown, rows, columns, targets, ranks, int(seed), ground.chance)
        is_leaf, feature, threshold, n, value, impurity = found
        return make_tree(
            rows.shape[1], is_leaf, feature, threshold, n, n.astype(np.float64), value[:, None, None], impurity
        )

    threads = check_n_jobs(1 if n_jobs is None else n_jobs)
    grown: list[Tree] = Parallel(n_jobs=threads, prefer="threads")(
        delayed(grow)(crown, seed) for crown, seed in zip(crowns, seeds, strict=True)
    )
    return grown


def make_tree(
    n_features: int,
    is_leaf: npt.NDArray[np.uint8],
    feature: Array,
    threshold: Array,
    n: Indices,
    weight: FloatArray,
    value: FloatArray,
    impurity: FloatArray,
    *,
    kind: int = 0,
    n_classes: Array | None = None,
    missing_left: Array | None = None,
) -> Tree:
    """Return a tree of scikit-learn from arrays of its nodes in preorder.

    Parameters
    ----------
    n_features : int
        Number of features.
    is_leaf, feature, threshold, n, weight, value, impurity : ndarray
        One for each node; ``value`` of shape (n_nodes, n_outputs, n_classes). Numbers, weights, values and impurities
        of inner nodes are computed from those of their children, in place.
    kind : {0, 1, 2}
        Impurity: variance, Gini or entropy.
    n_classes : ndarray of int, optional
        Number of classes of each output. Default: 1.
    missing_left : ndarray of bool, optional
        Whether samples without the feature go to the left.

    Raises
    ------
    ValueError
        If the nodes are no tree.
    """
    left, right, depth = _core.tree_shape(is_leaf)
    value = np.ascontiguousarray(value, dtype=np.float64)
    _core.sum_up_tree(is_leaf, kind, n, weight, value, impurity)
    classes = np.ones(value.shape[1], dtype=np.intp) if n_classes is None else np.asarray(n_classes, dtype=np.intp)
    tree = Tree(n_features, classes, value.shape[1])
    nodes = np.zeros(len(is_leaf), dtype=tree.__getstate__()["nodes"].dtype)
    columns: dict[str, Any] = {
        "left_child": left,
        "right_child": right,
        "feature": np.where(is_leaf, -2, feature),
        "threshold": np.where(is_leaf, -2.0, threshold),
        "impurity": impurity,
        "n_node_samples": n,
        "weighted_n_node_samples": weight,
        "missing_go_to_left": 0 if missing_left is None else missing_left,
    }
    for name, column in columns.items():
        nodes[name] = column
    tree.__setstate__({"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": value})
    return tree

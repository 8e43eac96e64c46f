"""Decision trees as compact arrays, a fifth of what scikit-learn keeps, with the same predictions to the last bit.

Nodes are in preorder, so that children need one bit; thresholds are rounded down to float32, which the features are;
values are those of leaves alone, as numbers in a table where many are equal; what only training needs of inner nodes is
summed up from their children. Of trees with twigs (:mod:`atomprint.learn.estimators.twigs`) only the crowns are kept,
with the training samples that the twigs grow on; of random forests that remember their samples
(:mod:`atomprint.learn.estimators.bagged`) how many of them each node sends to the left.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from atomprint import _core
from atomprint.learn.estimators.bagged import Bag
from atomprint.learn.estimators.forest import MedianExtraTrees
from atomprint.learn.estimators.twigs import Crown, Ground, crown_of, grow_trees, make_tree, rounded_down
from atomprint.util.registry import public
from atomprint.util.types import Array, Mask
from atomprint.util.validation import check_n_jobs
from atomprint.workflow.saved.container import ModelFileError, check_archive

# What impurities of inner nodes are computed by.
_KINDS = {"squared_error": 0, "friedman_mse": 0, "gini": 1, "entropy": 2, "log_loss": 2}
_GROUND = -1  # in place of the number of a tree
_MOST_NODES = 2**31

Arrays = dict[str, npt.NDArray[Any]]


@public("TreeMember", version=1)
class TreeMember(BaseEstimator):
    """Stands in a saved pipeline for a decision tree, which is in a member of the file with others.

    Parameters
    ----------
    member : str
        Name of the member.
    number : int
        Which of its trees; -1 for the samples that they were grown on.
    """

    def __init__(self, member: str, number: int) -> None:
        self.member = member
        self.number = number


class Group(NamedTuple):
    """Trees that go to one member, as they are packed alike."""

    trees: list[Tree]
    kind: int
    ground: Ground | Bag | None
    seeds: list[int]


def take_trees(parts: Iterable[Any]) -> tuple[dict[str, bytes], dict[int, Any]]:
    """Return members that hold the decision trees of a model, and what is to stand in their places, by ``id``.

    Parameters
    ----------
    parts : iterable
        All parts of the model.
    """
    found = list(parts)
    boosted = {  # what leaves are of inner nodes is not kept by boosting
        id(tree) for part in found if isinstance(part, BaseGradientBoosting) for tree in _trees_of(part)
    }
    groups: list[Group] = []
    places: dict[int, Any] = {}
    done = set(boosted)
    forests = [part for part in found if isinstance(part, BaseForest)]
    single = [part for part in found if isinstance(part, BaseDecisionTree)]
    for part, trees in [*((forest, _trees_of(forest)) for forest in forests), *((tree, [tree]) for tree in single)]:
        own = [tree for tree in trees if id(tree) not in done and isinstance(getattr(tree, "tree_", None), Tree)]
        done |= {id(tree) for tree in own}
        if not own or part.criterion not in _KINDS:
            if isinstance(getattr(part, "bag_", None), Bag):
                places[id(part.bag_)] = None
            continue
        ground = getattr(part, "ground_", None) if isinstance(part, MedianExtraTrees) else getattr(part, "bag_", None)
        seeds = [int(tree.random_state) for tree in own] if ground is not None else []
        groups.append(Group([tree.tree_ for tree in own], _KINDS[part.criterion], ground, seeds))
    members: dict[str, bytes] = {}
    for number, group in enumerate(groups):
        name = f"trees-{number}.npz"
        members[name], has_ground = _packed(group)
        places |= {id(tree): TreeMember(name, k) for k, tree in enumerate(group.trees)}
        if group.ground is not None:
            places[id(group.ground)] = TreeMember(name, _GROUND) if has_ground else None
    return members, places


def _trees_of(part: Any) -> list[Any]:
    return list(np.ravel(getattr(part, "estimators_", ())))


def put_trees(places: Iterable[TreeMember], members: Mapping[str, bytes]) -> tuple[dict[int, Any], set[str]]:
    """Return what stood in the places of trees, by their ``id``, and the members that were used.

    Raises
    ------
    ModelFileError
        If a member is missing or damaged, or what it holds are no trees.
    """
    made: dict[str, tuple[list[Tree], Ground | Bag | None]] = {}
    restored = {}
    for place in places:
        if not isinstance(place.member, str) or place.member not in members:
            raise ModelFileError(f"there is no member {place.member!r} in the file")
        if place.member not in made:
            try:
                made[place.member] = _unpacked(members[place.member], place.member)
            except ModelFileError:
                raise
            except Exception as error:
                raise ModelFileError(f"{place.member} holds no trees: {error}") from error
        trees, ground = made[place.member]
        number = place.number
        if number == _GROUND and ground is not None:
            restored[id(place)] = ground
        elif type(number) is int and 0 <= number < len(trees):
            restored[id(place)] = trees[number]
        else:
            raise ModelFileError(f"{place.member} has no tree {number!r}")
    return restored, set(made)


# Packing --------------------------------------------------------------------------------------------------------------


def _packed(group: Group) -> tuple[bytes, bool]:
    """Return trees as a member, and whether it has the samples that they were grown on."""
    first = group.trees[0]
    arrays: Arrays = {
        "sizes": np.array([first.n_features, first.n_outputs, group.kind], dtype=np.int64),
        "n_classes": np.asarray(first.n_classes, dtype=np.int64),
    }
    replayed = None
    if isinstance(group.ground, Ground):
        arrays |= _pack_ground(group.ground)
        arrays["seeds"] = np.array(group.seeds, dtype=np.int64)
        crowns = [crown_of(tree) for tree in group.trees]
        flags, features, thresholds = (list(column) for column in zip(*crowns, strict=True))
        arrays["n_nodes"] = np.array([len(flag) for flag in flags], dtype=np.int64)
        inner = [flag == 0 for flag in flags]
    else:
        nodes = [_in_preorder(tree) for tree in group.trees]
        flags = [(one["left_child"] < 0).astype(np.uint8) for one, _ in nodes]
        features = [one["feature"] for one, _ in nodes]
        thresholds = [rounded_down(one["threshold"]) for one, _ in nodes]
        arrays["n_nodes"] = np.array([len(flag) for flag in flags], dtype=np.int64)
        inner = [flag == 0 for flag in flags]
        leaves = np.concatenate([one[flag == 1] for (one, _), flag in zip(nodes, flags, strict=True)])
        values = np.concatenate([value[flag == 1] for (_, value), flag in zip(nodes, flags, strict=True)])
        values = values.reshape(len(values), -1)
        whole = {"n": _small(leaves["n_node_samples"]), "threshold": _planes(_joined(thresholds, inner))}
        if (leaves["weighted_n_node_samples"] != leaves["n_node_samples"]).any():
            whole |= _pack_numbers("weight", leaves["weighted_n_node_samples"])
        for column, numbers in enumerate(values.T):
            whole |= _pack_numbers(f"value{column}", numbers)
        if isinstance(group.ground, Bag):
            replayed = _pack_replayed(group.ground, group.seeds, nodes, flags, thresholds, leaves, values)
            if replayed is not None and _size(replayed) >= _size(whole):
                replayed = None
        arrays |= whole if replayed is None else replayed
        if leaves["impurity"].any():
            # Importances need no more digits, predictions none at all.
            arrays |= _pack_numbers("impurity", leaves["impurity"].astype(np.float32).astype(np.float64))
        missing = np.concatenate(
            [one["missing_go_to_left"][chosen] for (one, _), chosen in zip(nodes, inner, strict=True)]
        )
        if missing.any() and replayed is None:
            arrays["missing"] = np.packbits(missing.astype(bool))
    arrays["is_leaf"] = np.packbits(np.concatenate(flags))
    arrays["feature"] = _small(_joined(features, inner))
    if isinstance(group.ground, Ground):
        arrays["threshold"] = _planes(_joined(thresholds, inner))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # not compressed: the file is
    return _dateless(buffer.getvalue()), isinstance(group.ground, Ground) or replayed is not None


def _size(arrays: Arrays) -> int:
    """Return about how much room arrays take in a file, which is compressed."""
    return sum(len(zlib.compress(np.ascontiguousarray(array).data, 1)) for array in arrays.values())


def _joined(columns: Sequence[Array], chosen: Sequence[Array]) -> Array:
    return np.concatenate([column[mask] for column, mask in zip(columns, chosen, strict=True)])


def _in_preorder(tree: Tree) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return nodes and values with the left child of each node behind it."""
    nodes, values = tree.__getstate__()["nodes"], tree.value
    is_leaf = (nodes["left_child"] < 0).astype(np.uint8)
    try:
        left, right, _ = _core.tree_shape(is_leaf)
        if np.array_equal(left, nodes["left_child"]) and np.array_equal(right, nodes["right_child"]):
            return nodes, values
    except ValueError:
        pass
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if nodes["left_child"][node] >= 0:
            waiting += [int(nodes["right_child"][node]), int(nodes["left_child"][node])]
    return nodes[order], values[order]


def _pack_bag(bag: Bag) -> Arrays:
    """Return training samples with equal ones side by side, and at which place of these each sample is."""
    rows, targets = bag.rows + np.float32(0), bag.targets  # one zero, not two
    keys = rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel()
    order = np.argsort(keys, kind="stable")
    back = np.empty(len(order), dtype=np.uint32)
    back[order] = np.arange(len(order))
    packed = _pack_ground(Ground(rows[order], targets[order], 0))
    return {**{name: value for name, value in packed.items() if name != "chance"}, "order": _planes(back)}


def _pack_replayed(
    bag: Bag,
    seeds: Sequence[int],
    nodes: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.float64]]],
    flags: Sequence[npt.NDArray[np.uint8]],
    thresholds: Sequence[npt.NDArray[np.float32]],
    leaves: npt.NDArray[Any],
    values: npt.NDArray[np.float64],
) -> Arrays | None:
    """Return what trees can be made of again with their training samples; None if they would be others."""
    lefts = []
    for one, _ in nodes:
        left = np.zeros(len(one), dtype=np.int64)
        inner = one["left_child"] >= 0
        left[inner] = one["n_node_samples"][one["left_child"][inner]]
        lefts.append(left)
    features = [one["feature"].astype(np.int64) for one, _ in nodes]
    made = _replay(bag, seeds, flags, features, lefts, values.shape[1])
    if made is None:
        return None
    leaf = np.concatenate(flags) == 1
    same = (
        np.array_equal(np.concatenate([one[0] for one in made])[~leaf], np.concatenate(thresholds)[~leaf])
        and np.array_equal(np.concatenate([one[1] for one in made])[leaf], leaves["n_node_samples"])
        and np.array_equal(np.concatenate([one[2] for one in made])[leaf], leaves["weighted_n_node_samples"])
        and np.array_equal(
            _to_the_larger(np.concatenate(lefts), np.concatenate([one[1] for one in made]))[~leaf],
            np.concatenate([one["missing_go_to_left"] for one, _ in nodes])[~leaf],
        )
    )
    if not same:
        return None
    found = np.concatenate([one[3] for one in made])[leaf]
    other = np.flatnonzero((found != values).any(axis=1))  # sums in another order
    arrays: Arrays = {
        "left": _planes(np.concatenate(lefts)[~leaf].astype(np.uint32)),
        "seeds": np.array(seeds, dtype=np.int64),
    }
    if len(other):
        arrays |= {"other": _planes(other.astype(np.uint32)), "other-values": _planes(values[other])}
    return arrays | _pack_bag(bag)


def _replay(
    bag: Bag,
    seeds: Sequence[int],
    flags: Sequence[npt.NDArray[np.uint8]],
    features: Sequence[npt.NDArray[np.int64]],
    lefts: Sequence[npt.NDArray[np.int64]],
    n_classes: int,
) -> list[tuple[Any, ...]] | None:
    """Return thresholds, numbers of samples, weights and values of leaves of each tree; None if these do not fit."""
    columns = np.ascontiguousarray(bag.rows.T)

    def one(seed: int, flag: Any, feature: Any, left: Any) -> tuple[Any, ...]:
        return _core.replay_tree(flag, feature, left, columns, bag.targets, bag.counts(seed), n_classes)

    try:
        made: list[tuple[Any, ...]] = Parallel(n_jobs=check_n_jobs(-1), prefer="threads")(
            delayed(one)(*each) for each in zip(seeds, flags, features, lefts, strict=True)
        )
    except ValueError:
        return None
    return made


def _to_the_larger(left: npt.NDArray[np.int64], n: npt.NDArray[np.int64]) -> Mask:
    """Return which nodes send samples without the feature to the left, where none was without it in training."""
    return 2 * left > n


def _pack_ground(ground: Ground) -> Arrays:
    rows = ground.rows
    new = np.ones(len(rows), dtype=bool)
    np.any(rows[1:] != rows[:-1], axis=1, out=new[1:])
    return {
        "rows": _planes(np.ascontiguousarray(rows[new].T)),
        "copies": _small(np.diff(np.append(np.flatnonzero(new), len(rows)))),
        "chance": np.array([ground.chance], dtype=np.int64),
        **_pack_numbers("target", ground.targets),
    }


def _pack_numbers(name: str, numbers: npt.NDArray[np.float64]) -> Arrays:
    """Return float64 as whole numbers where they are, as places in a table where many are equal, else byte by byte."""
    bits = np.ascontiguousarray(numbers, dtype=np.float64).view(np.int64)
    if (np.abs(numbers) < 2**31).all() and (numbers == np.rint(numbers)).all() and not np.signbit(numbers).any():
        return {f"{name}-whole": _small(numbers.astype(np.int64))}
    table, places = np.unique(bits, return_inverse=True)
    if len(table) <= len(bits) // 2:
        table = table.view(np.float64)
        order = np.argsort(table, kind="stable")  # so that near numbers have near places
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {f"{name}-table": table[order], f"{name}-places": _planes(_small(back[places]))}
    return {f"{name}-bytes": _planes(bits.view(np.float64))}


def _small(numbers: Array) -> Array:
    """Return whole numbers, none of which is negative, in the smallest type."""
    largest = int(numbers.max(initial=0))
    return np.asarray(numbers).astype(
        next(t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if largest <= np.iinfo(t).max)
    )


def _planes(numbers: Array) -> npt.NDArray[np.uint8]:
    """Return the first bytes of all numbers, then the second ones …, with the size of a number as a first axis."""
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    raw = np.ascontiguousarray(little).view(np.uint8).reshape(*numbers.shape, numbers.dtype.itemsize)
    return np.ascontiguousarray(np.moveaxis(raw, -1, 0))


def _dateless(data: bytes) -> bytes:
    """Return an archive without the dates of its members, so that the same trees are the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(buffer, "w") as archive:
        for name in given.namelist():
            archive.writestr(zipfile.ZipInfo(name), given.read(name))
    return buffer.getvalue()


# Unpacking ------------------------------------------------------------------------------------------------------------


def _unpacked(data: bytes, name: str) -> tuple[list[Tree], Ground | Bag | None]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in check_archive(archive, len(data), name).values():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ModelFileError(f"{name} is packed in a way that is not used")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays: Arrays = {key: file[key] for key in file.files}
    n_features, n_outputs, kind = (int(one) for one in arrays["sizes"])
    n_classes = arrays["n_classes"].astype(np.int64)
    n_nodes = arrays["n_nodes"].astype(np.int64)
    total = int(n_nodes.sum())
    if not (
        0 < n_features < _MOST_NODES
        and 0 < total < 8 * arrays["is_leaf"].size + 1
        and n_outputs == len(n_classes)
        and (n_nodes > 0).all()
        and (n_classes > 0).all()
        and kind in _KINDS.values()
    ):
        raise ModelFileError(f"{name} does not fit together")
    flags = np.unpackbits(arrays["is_leaf"], count=total)
    inner = flags == 0
    feature = np.full(total, -2, dtype=np.int64)
    feature[inner] = arrays["feature"]
    if inner.any() and not (feature[inner].min() >= 0 and feature[inner].max() < n_features):
        raise ModelFileError(f"{name}: a node asks for a feature that is not among {n_features}")
    ends = np.cumsum(n_nodes)
    slices = [slice(end - n, end) for end, n in zip(ends, n_nodes, strict=True)]
    bag = _unpack_bag(arrays, n_features, name) if "order" in arrays else None
    threshold = np.full(total, -2, dtype=np.float32)
    if "left" not in arrays:
        threshold[inner] = _from_planes(arrays["threshold"], np.float32)
    if "chance" in arrays:
        ground = _unpack_ground(arrays, n_features, name)
        crowns = [Crown(flags[part], feature[part], threshold[part]) for part in slices]
        return grow_trees(crowns, arrays["seeds"].tolist(), ground, -1), ground
    n, weight, impurity = np.zeros(total, dtype=np.int64), np.zeros(total), np.zeros(total)
    width = n_outputs * int(n_classes.max())
    values, missing = np.zeros((total, width)), np.zeros(total, dtype=bool)
    if "left" in arrays:
        left = np.zeros(total, dtype=np.int64)
        left[inner] = _from_planes(arrays["left"], np.uint32)
        seeds, made = arrays["seeds"].tolist(), None
        if bag is not None and n_outputs == 1 and len(seeds) == len(slices):
            made = _replay(
                bag,
                seeds,
                [flags[part] for part in slices],
                [feature[part] for part in slices],
                [left[part] for part in slices],
                width,
            )
        if made is None:
            raise ModelFileError(f"{name}: its trees do not fit its samples")
        threshold, n, weight, values = (np.concatenate(column) for column in zip(*made, strict=True))
        missing[inner] = _to_the_larger(left, n)[inner]
        if "other" in arrays:
            leaves = np.flatnonzero(~inner)
            values[leaves[_from_planes(arrays["other"], np.uint32)]] = _from_planes(arrays["other-values"], np.float64)
    else:
        n[~inner] = arrays["n"]
        weight = n.astype(np.float64)
        if any(known.startswith("weight-") for known in arrays):
            weight[~inner] = _unpack_numbers(arrays, "weight")
        for place in range(width):
            values[~inner, place] = _unpack_numbers(arrays, f"value{place}")
    if any(known.startswith("impurity-") for known in arrays):
        impurity[~inner] = _unpack_numbers(arrays, "impurity")
    if "missing" in arrays:
        missing[inner] = np.unpackbits(arrays["missing"], count=int(inner.sum()))
    shape = (-1, n_outputs, int(n_classes.max()))
    trees = [
        make_tree(
            n_features,
            flags[part],
            feature[part],
            threshold[part],
            n[part],
            weight[part],
            values[part].reshape(shape),
            impurity[part],
            kind=kind,
            n_classes=n_classes,
            missing_left=missing[part],
        )
        for part in slices
    ]
    return trees, bag


def _unpack_bag(arrays: Arrays, n_features: int, name: str) -> Bag:
    ground = _unpack_ground(arrays | {"chance": np.zeros(1, dtype=np.int64)}, n_features, name)
    order = _from_planes(arrays["order"], np.uint32)
    if len(order) != len(ground.targets) or (np.sort(order) != np.arange(len(order))).any():
        raise ModelFileError(f"{name}: its samples do not fit together")
    return Bag(np.ascontiguousarray(ground.rows[order]), np.ascontiguousarray(ground.targets[order]))


def _unpack_ground(arrays: Arrays, n_features: int, name: str) -> Ground:
    columns = _from_planes(arrays["rows"], np.float32)
    copies = arrays["copies"].astype(np.int64)
    targets = _unpack_numbers(arrays, "target")
    (chance,) = (int(one) for one in arrays["chance"])
    if columns.shape != (n_features, len(copies)) or copies.sum() != len(targets) or not 0 <= chance < 2**32:
        raise ModelFileError(f"{name}: its samples do not fit together")
    if not (np.isfinite(columns).all() and np.isfinite(targets).all()):
        raise ModelFileError(f"{name}: a feature or a target of its samples is not a number")
    return Ground(np.repeat(np.ascontiguousarray(columns.T), copies, axis=0), targets, chance)


def _unpack_numbers(arrays: Arrays, name: str) -> npt.NDArray[np.float64]:
    if f"{name}-whole" in arrays:
        return arrays[f"{name}-whole"].astype(np.float64)
    if f"{name}-bytes" in arrays:
        return _from_planes(arrays[f"{name}-bytes"], np.float64)
    planes = arrays[f"{name}-places"]
    places = _from_planes(planes, np.dtype(f"u{len(planes)}"))
    return np.asarray(arrays[f"{name}-table"], dtype=np.float64)[places]


def _from_planes(planes: npt.NDArray[np.uint8], dtype: Any) -> npt.NDArray[Any]:
    if planes.dtype != np.uint8 or planes.ndim < 2 or len(planes) != np.dtype(dtype).itemsize:
        raise ModelFileError("numbers must have as many bytes as their type")
    raw = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return raw.view(np.dtype(dtype).newbyteorder("<"))[..., 0].astype(dtype, copy=False)

"""Embeddings of pretrained potentials in a recipe, where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atomprint.datasets import Dataset
from atomprint.descriptors.pretrained.weights import WEIGHTS
from atomprint.learn.task.problem import Problem
from atomprint.util.extras import how_to_install, installed
from atomprint.util.validation import check_choice
from atomprint.workflow.recipes.auto_models import ENOUGH_FOR_NETWORKS, FOR_NETWORKS, LARGE, inner_folds
from atomprint.workflow.recipes.data_traits import periodic_directions

Table = dict[str, Any]
Tables = Mapping[str, Mapping[str, Any]]

# Descriptors with few features, which a network is given beside embeddings.
_SMALL = ("CompositionChannels", "ElementProperty", "NeighbourStatistics", "OxidationStates")


def key_of(name: str) -> str:
    """Return the key of weights in a recipe: ``"chgnet_0_3_0"``."""
    return "".join(c if c.isalnum() else "_" for c in name)


def with_embeddings(
    features: Tables, models: Tables, names: Sequence[str], dataset: Dataset, problem: Problem
) -> tuple[dict[str, Table], dict[str, Table], str]:
    """Return features and models of a recipe with embeddings beside what it has, and why they are used as they are.

    Each embedding is a block of the joined features. The models of the recipe see what they saw before, and models that
    see the embeddings stand beside them: kernel ridge, and from 2000 samples on a residual network (for classes, trees
    instead of kernel ridge). A single model for numbers and these make one ensemble.

    Parameters
    ----------
    features, models : mapping of str to mapping
        ``[features]`` and ``[models]``, complete.
    names : sequence of str
        Names of :data:`~atomprint.descriptors.pretrained.weights.WEIGHTS`.
    dataset, problem : Dataset, Problem
        The data.

    Raises
    ------
    ValueError
        If a name is not known, the data are no crystals, or the features are several sets that are compared.
    ImportError
        If a package is not installed, before anything is computed.
    """
    _check(names, dataset)
    pooling: Any = ["mean", "std"]
    if problem.atoms is not None:
        pooling = None
    elif any(table.get("pooling") == "sum" for table in features.values()):
        pooling = "sum"
    new = {key_of(name): {"type": "PretrainedEmbedding", "model": name} for name in names}
    if pooling is not None:
        new = {key: {**table, "pooling": pooling} for key, table in new.items()}
    joined, old = _joined(features, new)
    seen = [*new, *(key for key in old if _is_small(features[key]))]
    members, why = _members(problem, list(new), seen)
    kept = {key: _seeing(key, table, old) for key, table in models.items()}
    return joined, _beside(kept, members, len(problem), problem.kind), why


def _check(names: Sequence[str], dataset: Dataset) -> None:
    for name in names:
        check_choice("pretrained", name, tuple(WEIGHTS))
    if len(set(names)) < len(names):
        raise ValueError(f"pretrained must be different from each other, got {', '.join(names)}")
    if dataset.structures is None or not periodic_directions(dataset).any(axis=1).all():
        what = "compositions" if dataset.structures is None else "molecules among them"
        raise ValueError(f"pretrained is for crystals, which the weights were trained with; the data have {what}")
    for name in names:
        WEIGHTS[name].path()


def _joined(features: Tables, new: Mapping[str, Table]) -> tuple[dict[str, Table], list[str]]:
    """Return features that are joined with new ones, and the keys of those that were there."""
    joins = [key for key, table in features.items() if "join" in table]
    single = [key for key in features if key not in joins]
    clash = [key for key in new if key in features]
    whole = features[joins[0]] if joins else {}
    if clash or len(joins) > 1 or (joins and not whole.get("only_joined")) or (not joins and len(single) > 1):
        raise ValueError(
            f"pretrained needs features that are one set, got {', '.join(features)}: join them, with only_joined = "
            "true, or name PretrainedEmbedding among them yourself"
        )
    key = joins[0] if joins else "all"
    old = list(whole["join"]) if joins else single
    join = {"title": "all features", **whole, "join": [*old, *new], "only_joined": True}
    return {**{name: dict(features[name]) for name in single}, **new, key: join}, old


def _is_small(table: Mapping[str, Any]) -> bool:
    """Return whether a descriptor has few features, as SOAP has where it is blind to elements."""
    if table.get("type") in _SMALL:
        return True
    blind = table.get("type") == "SOAP" and table.get("compression") == "mu2"
    return blind and not isinstance(table.get("pooling"), Mapping)


def _seeing(key: str, table: Mapping[str, Any], old: Sequence[str]) -> Table:
    """Return a model, or an ensemble, that sees what it saw before."""
    if table.get("type", key) == "ensemble" and "members" in table:
        members = [{"type": item} if isinstance(item, str) else dict(item) for item in table["members"]]
        return {**table, "members": [{"blocks": list(old), **item} for item in members]}
    return {"blocks": list(old), **table}


def _members(problem: Problem, new: list[str], seen: list[str]) -> tuple[dict[str, Table], str]:
    """Return models that see embeddings, and why these."""
    n = len(problem)
    network: Table = {"type": "resnet", "blocks": seen, "n_seeds": 2}
    if not installed(*FOR_NETWORKS):
        network = {"type": "mlp", "blocks": seen, "n_seeds": 3}
    if problem.kind == "classification":
        members: dict[str, Table] = {"embeddings": {"type": "extra_trees", "blocks": seen, "max_features": 0.1}}
        told = ["randomised trees"]
    else:
        kernel_ridge: Table = {"type": "kernel_ridge", "blocks": new, "n_search": 2000}
        members, told = {"embeddings": kernel_ridge}, ["kernel ridge"]
    if n > LARGE and problem.kind == "regression":
        members, told = {}, []
    if n >= ENOUGH_FOR_NETWORKS or not members:
        members["embeddings_network"] = network
        told.append("a neural network, which suits deep layers best")
    hint = "" if installed(*FOR_NETWORKS) else f" A residual network would do better still: {how_to_install('neural')}."
    return members, f"Embeddings of pretrained potentials, asked for, are seen by {' and '.join(told)}.{hint}"


def _beside(models: dict[str, Table], members: dict[str, Table], n: int, kind: str) -> dict[str, Table]:
    """Return models with those that see embeddings beside them: of numbers one ensemble where there was one model."""
    if kind == "classification" or len(models) != 1:
        return {**models, **members}
    ((key, table),) = models.items()
    own = table["members"] if table.get("type", key) == "ensemble" else [{"type": key, **table}]
    options = {"combine": "weights", "n_folds": inner_folds(n), "holdout": 0.2}
    if table.get("combine") == "weights":
        options |= {name: table[name] for name in ("n_folds", "holdout") if name in table}
    return {"ensemble": {"members": [*own, *({"name": name, **found} for name, found in members.items())], **options}}

"""The models that ``recipe = "auto"`` chooses, by the number of samples and the kind of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atomprint.util.extras import how_to_install, installed
from atomprint.workflow.recipes.data_traits import Form

Tables = dict[str, dict[str, Any]]

SMALL, LARGE = 500, 20_000  # samples
ENOUGH_FOR_NETWORKS = SMALL
_ENOUGH_BESIDE_KERNELS = 150  # samples, of SOAP: smooth targets of few cells gain up to a tenth of the error
FOR_NETWORKS = ("jax", "optax")
# Up to how many samples: inner folds by which members of an ensemble are weighted; 1 is a single part held out.
_INNER_FOLDS = ((SMALL, 5), (1500, 3), (np.inf, 1))
HOLDOUT = 0.25
_BESIDE_NETWORKS = {"n_estimators": 150, "max_features": 0.3}  # as good as the usual 300, in a third of the time
_OF_MANY = {"max_features": 0.1}  # trees that look at a tenth of the many features of SOAP at each split
_OF_LARGE = {"n_estimators": 100, "min_samples_leaf": 2}
_NARROW, _WIDE = 256, 4000  # units of a layer for no more than so many samples
_PER_COMPONENT = 30  # samples for each component that a network is given of many features
_COMPONENTS = (30, 300)


@dataclass(frozen=True)
class Described:
    """Features for a form, and what models are told about them.

    Parameters
    ----------
    features : dict of str to dict
        ``[features.KEY]``.
    why : str
        Why they are chosen.
    kernel_ridge, trees : mapping of str to object
        Parameters of these models, if they are used.
    many : tuple of str
        Blocks of features that are too many for a network, which sees their principal components.
    soap : bool
        Whether features are those of SOAP.
    resolutions : tuple of str
        Blocks of features that each say all there is to know, the finest first: a kernel ridge for each, the finest for
        other models.
    """

    features: Tables
    why: str
    kernel_ridge: Mapping[str, Any] = field(default_factory=dict)
    trees: Mapping[str, Any] = field(default_factory=dict)
    many: tuple[str, ...] = ()
    soap: bool = False
    resolutions: tuple[str, ...] = ()


def models_for(form: Form, described: Described) -> tuple[Tables, str]:
    """Return ``[models.KEY]`` for data of a form, and why."""
    trees = {**described.trees, **(_OF_MANY if described.soap else {}), **(_OF_LARGE if form.n_samples > LARGE else {})}
    if form.kind == "classification":
        return _classifiers(form.n_samples, trees)
    return _regressors(form, described, trees | (_BESIDE_NETWORKS if SMALL <= form.n_samples <= LARGE else {}))


def _classifiers(n: int, trees: dict[str, Any]) -> tuple[Tables, str]:
    models: Tables = {"extra_trees": trees}
    if n < SMALL:
        return {**models, "ridge": {}}, (
            f"With fewer than {SMALL} samples randomised trees and a logistic regression take seconds; the "
            "better one is taken."
        )
    if n <= LARGE:
        seen = {"blocks": trees["blocks"]} if "blocks" in trees else {}
        return {**models, "hist_gradient_boosting": seen}, (
            "Decision trees tell classes well, grown side by side or one after the other, and need no scales; the "
            "better way is taken."
        )
    return models, f"With more than {LARGE:,} samples randomised trees are quick and tell classes well."


def _regressors(form: Form, described: Described, trees: dict[str, Any]) -> tuple[Tables, str]:
    n, compositions = form.n_samples, form.inputs in ("compositions", "mixed")
    members: list[dict[str, Any]] = []
    told: list[str] = []
    if n <= LARGE or not compositions:
        members += [
            {"type": "kernel_ridge", "name": f"kernel_ridge_{block}", "blocks": [block], **described.kernel_ridge}
            for block in described.resolutions
        ] or [{"type": "kernel_ridge", **described.kernel_ridge}]
        told.append(
            f"kernel ridge{', once for each resolution' * bool(described.resolutions)}, which interpolates smoothly"
        )
    if not described.resolutions and (not described.soap or not SMALL <= n <= LARGE):
        members.append({"type": "extra_trees", **trees})
        told.append("randomised trees, which predict medians and suit targets with two peaks, such as band gaps")
        if form.at_floor and n <= LARGE:
            members.append({"type": "two_part", **trees})
            told.append("trees that tell first whether a target is the smallest one, as many are, and then how much")
    hint = ""
    enough = _ENOUGH_BESIDE_KERNELS if described.soap else ENOUGH_FOR_NETWORKS
    if n >= enough and not form.extensive:  # sums over atoms are told far better by kernels
        if installed(*FOR_NETWORKS):
            seen = {"blocks": list(described.resolutions[:1])} if described.resolutions else {}
            members.append({**network(n, described.many), **seen})
            told.append("a residual network, which learns what makes samples alike")
        else:
            hint = (
                f" A residual network, which mostly makes predictions better, is left out: {how_to_install('neural')}."
            )
    if len(members) == 1:
        (member,) = members
        return {member.pop("type"): member}, (
            f"Kernel ridge suits structures best up to {LARGE:,} samples, all of which carry weights."
            if described.soap
            else "Randomised trees predict medians, which errors of single samples and polymorphs do not sway."
        ) + hint
    n_folds = inner_folds(n)
    where = "a quarter of the training part is" if n_folds == 1 else "samples are"
    why = (
        f"These make different errors, and their weighted mean is taken: {', and '.join(told)}. To find the weights, "
        f"{where} held out of fits within the training part; what does not help there is left out."
    )
    if n > LARGE and not compositions:
        why += f" With more than {LARGE:,} samples, a random part of them carries weights in kernel ridge."
    return {"ensemble": {"members": members, "combine": "weights", "n_folds": n_folds, "holdout": HOLDOUT}}, why + hint


def network(n: int, many: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a residual network for so many samples, which sees of many features how samples differ most.

    Parameters
    ----------
    n : int
        Number of samples.
    many : tuple of str
        See :class:`Described`.
    """
    entry: dict[str, Any] = {"type": "resnet"}
    if many:
        n_components = int(np.clip(n // _PER_COMPONENT, *_COMPONENTS))
        entry["projection"] = {"blocks": list(many), "n_components": n_components}
    return entry | ({"width": _NARROW} if n <= _WIDE else {})


def inner_folds(n: int) -> int:
    """Return by how many inner folds members of an ensemble are weighted for so many samples; 1 holds out a part."""
    return next(n_folds for limit, n_folds in _INNER_FOLDS if n <= limit)

"""``recipe = "auto"``: from the form of the data to features, models and evaluation, each with a reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from atomprint.datasets import Dataset
from atomprint.descriptors.usual import FEW_ELEMENTS
from atomprint.workflow.recipes.auto_models import SMALL, Described, Tables, models_for
from atomprint.workflow.recipes.data_traits import Form, Indices

# What the choices below depend on.
_MAX_WIDTH = 3000  # features
_MAX_BYTES = 1e9  # of a table of features
_MAX_WORK = 4e9  # atoms times features

# Up to how many samples: learning curve, and how often features are scrambled.
_EVALUATION = ((500, True, 5), (5000, False, 2), (np.inf, False, 1))
_COARSE = 240  # atomic numbers
_BASES = ((8, 6), (6, 4), (4, 3), (3, 2), (2, 1))  # n_max and l_max of SOAP, the finest first
_FINE_BASES, _MAX_FINE_WIDTH = ((10, 4), (8, 4), *_BASES[1:]), 6500
_RESOLUTIONS = ("fine", "medium", "coarse")  # of SOAP beside each other, for cells of few compounds
_LEARNT = 6  # channels of the elements
# Kernel ridge for energies of geometries, smooth and almost without noise: long scales, little regularisation.
_SMOOTH = {
    "kernels": ["rbf", "matern52"],
    "scalings": ["none"],
    "length_scales": [1.0, 3.0, 10.0, 30.0],
    "alphas": [1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2],
    "n_search": 2000,
}


@dataclass(frozen=True)
class AutoRecipe:
    """What was chosen for data of a form, as a user would write it, and why.

    Parameters
    ----------
    features, models : mapping of str to mapping
        ``[features.KEY]`` and ``[models.KEY]``.
    search, evaluation : mapping of str to object
        ``[search]`` and ``[evaluation]``.
    why : mapping of str to tuple of str
        For ``"data"`` and each of these sections, sentences that say why it is so.
    """

    features: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    search: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    why: Mapping[str, tuple[str, ...]]

    @property
    def reasons(self) -> list[str]:
        """All sentences, in the order of the recipe."""
        return [sentence for sentences in self.why.values() for sentence in sentences]


def auto_recipe(dataset: Dataset, target: str, seed: int = 0, *, parts: Sequence[Indices] | None = None) -> AutoRecipe:
    """Choose a recipe by the form of data.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    target : str
        Which of its targets is to be predicted.
    seed : int
        Seed of what is drawn to look at the data.
    parts : sequence of ndarray of int, optional
        Training parts of a split, as indices of samples: the only targets that are looked at. Default: all.

    Returns
    -------
    AutoRecipe
        Of the targets, only this enters: whether they are numbers or classes, of structures or atoms, how many are
        known, and whether they grow with the number of atoms.

    Raises
    ------
    ValueError
        If there is no such target, it is not known for any sample, or it is one of atoms of crystals and molecules
        mixed, which no descriptor treats alike.
    """
    return recipe_for_form(Form.of(dataset, target, parts, seed))


def recipe_for_form(form: Form) -> AutoRecipe:
    """Return the recipe for data of a form; see :func:`auto_recipe`."""
    described = _features_for(form)
    models, why_models = models_for(form, described)
    evaluation, why_evaluation = _evaluation_for(form)
    return AutoRecipe(
        features=described.features,
        models=models,
        search={"method": "none"},
        evaluation=evaluation,
        why={
            "data": (form.sentence(),),
            "features": (described.why,),
            "models": (why_models,),
            "search": (
                "There is no search: these models choose what matters in each training part, or do well as they are.",
            ),
            "evaluation": (why_evaluation,),
        },
    )


def _features_for(form: Form) -> Described:
    """Return the features for a form."""
    if form.inputs == "compositions":
        return _compositions(form)
    if form.inputs == "bonds":
        return _bonds()
    if form.inputs == "mixed":
        return _mixed(form)
    if form.level == "atom":
        return _atoms(form)
    if form.extensive:
        return _extensive(form)
    if form.inputs == "molecules" or len(form.elements) <= FEW_ELEMENTS:
        return _averaged(form)
    return _many_elements(form)


def _compositions(form: Form) -> Described:
    """Return statistics of the elements' properties, and the shares of the elements themselves."""
    features: Tables = {
        "properties": {"type": "ElementProperty", "missing": "impute"},
        "fractions": {"type": "CompositionChannels", "channels": "species"},
        "charges": {"type": "OxidationStates"},
        "composition": {"join": ["properties", "fractions", "charges"], "only_joined": True},
    }
    why = (
        "There are no structures, so materials are described by statistics of their elements' properties, the share of "
        "each element, and whether the elements' oxidation states can balance."
    )
    return Described(features, why, {"scalings": ["standard"]})


def _bonds() -> Described:
    """Return the fragments of molecules, and properties that follow from their bonds."""
    features: Tables = {
        "properties": {"type": "RDKitDescriptors"},
        "fragments": {"type": "MorganFingerprint", "counts": True},
        "molecule": {"join": ["properties", "fragments"], "only_joined": True},
    }
    why = (
        "There is no geometry, so molecules are described by their bonds: how often each fragment of up to two bonds "
        "around an atom occurs (ECFP4), beside properties such as logP, surface areas and functional groups."
    )
    return Described(features, why, {"scalings": ["standard"]})


def _mixed(form: Form) -> Described:
    """Return features of compositions, since no descriptor of structures suits all samples."""
    if form.level == "atom":
        raise ValueError(
            "features must be given: some structures repeat in space and others do not, which no descriptor of atoms "
            "treats alike; make two recipes, for crystals and for molecules"
        )
    described = _compositions(form)
    why = (
        "Some structures repeat in space and others do not, which no descriptor of structures treats alike: only "
        "compositions are used. Two recipes, for crystals and for molecules, would see the structures."
    )
    return replace(described, why=why)


def _many_elements(form: Form) -> Described:
    """Return what there is, how it is arranged, and which elements are where."""
    properties = ["period", "group", "valence_p", "valence_d", "electronegativity", "covalent_radius"]
    channels = [
        {"type": "PropertyChannels", "properties": [*properties, "ionization_energy"], "scale": 0.9, "constant": False},
        {"type": "ElementEmbedding", "n_channels": min(24, len(form.elements) - 1), "length_scale": 0.4},
        "species",
    ]
    soap = {
        "type": "SOAP",
        **_periodic(form),
        "r_cut": 5.0,
        "n_max": 4,
        "l_max": 3,
        "sigma": 0.6,
    }
    width = 4 * 5 // 2 * 4 * (len(properties) + 1 + min(24, len(form.elements) - 1) + len(form.elements))
    features: Tables = {
        "properties": {"type": "ElementProperty", "missing": "impute"},
        "composition": {"type": "CompositionChannels", "channels": channels},
        "charges": {"type": "OxidationStates"},
        "sites": {**soap, "compression": "mu2", "pooling": "mean"},
    }
    roles = 8 * width * form.n_structures <= _MAX_BYTES
    if roles:
        pooling = {"type": "Pooling", "method": "covariance", "channels": channels}
        features["roles"] = {**soap, "compression": "mu2", "pooling": pooling}
    width = _LEARNT * 4 * (_LEARNT * 4 + 1) // 2 * 4
    learnt = form.kind == "regression" and form.n_samples >= SMALL and 8 * width * form.n_structures <= _MAX_BYTES
    if learnt:
        embedding = {"type": "LearnedEmbedding", "n_channels": _LEARNT}
        features["channels"] = {**soap, "species_embedding": embedding, "pooling": "mean"}
    blocks = list(features)
    features["all"] = {"join": blocks, "only_joined": True, "title": "all features"}
    why = (
        f"With {len(form.elements)} elements, SOAP sees where atoms are whatever they are (mu2), averaged over the "
        "sites, beside statistics of the elements' properties, their shares and their oxidation states"
        + (
            ", and the covariance of both tells which elements sit where."
            if roles
            else "; which elements sit where is left out, since that table would not fit into memory."
        )
        + (
            f" SOAP in {_LEARNT} channels sees them by what they do to the target: each training part learns its own."
            if learnt
            else ""
        )
    )
    kernel_ridge = {
        "blocks": blocks[1:],  # distances of compositions are told by their channels, which are on one scale
        "kernels": ["matern52"],
        "scalings": ["none"],
        "length_scales": [0.7, 1.0, 1.4, 2.0, 2.8, 4.0],
        "alphas": [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2, 1e-1],
        "n_components": 400,
        "n_search": 3000,
    }
    # Trees look at every feature at every split: they are not given those of which there are many.
    return Described(features, why, kernel_ridge, {"blocks": blocks[:4]}, tuple(blocks[4:]))


def _averaged(form: Form) -> Described:
    """Return averages over the atoms."""
    crystals = form.inputs == "crystals"
    by_species = form.conformers and len(form.elements) <= FEW_ELEMENTS
    pooling: Any = "mean"
    copies, what = 1, "the atoms of each molecule"
    if by_species:
        pooling, copies = {"type": "Pooling", "method": "mean", "by_species": True}, len(form.elements)
        compounds = "compounds" if crystals else "molecules"
        what = (
            f"the atoms of each element: structures are many geometries of few {compounds}, in which all else is the "
            "same"
        )
    elif crystals:
        pooling, copies = ["mean", "std"], 2
        what = "the atoms of each crystal, and with the standard deviation over them"
    finest = _basis(form, form.n_structures, copies)
    features: Tables = {"soap": {**_soap(form, *finest), "pooling": pooling}}
    why = f"{_species_in_words(form)}, averaged over {what}"
    if form.kind == "regression" and form.atoms[0] < form.atoms[2]:
        why += ", since the target does not simply grow with their number"
    bases = _BASES[_BASES.index(finest) :][: len(_RESOLUTIONS)]
    cells = by_species and crystals and form.kind == "regression"
    if not cells or len(bases) == 1 or form.n_samples >= SMALL:
        return Described(features, f"{why}.", _SMOOTH if by_species else {}, soap=True)
    resolutions = _RESOLUTIONS[: len(bases)]
    features = {
        name: {**_soap(form, *basis), "pooling": pooling} for name, basis in zip(resolutions, bases, strict=True)
    }
    features["all"] = {"join": list(resolutions), "only_joined": True, "title": "all resolutions"}
    why += (
        f". There are {len(bases)} resolutions, from fine to coarse: which of them tells few cells best is a matter of "
        "chance."
    )
    return Described(features, why, _SMOOTH, {"blocks": [resolutions[0]]}, resolutions=resolutions, soap=True)


def _extensive(form: Form) -> Described:
    """Return sums over the atoms, beside their number."""
    soap = {**_soap(form, *_basis(form, form.n_structures, 1)), "pooling": "sum"}
    if form.inputs == "molecules":  # energies, of which little is noise: all that is close counts, and finely
        n_max, l_max = _basis(form, form.n_structures, 1, _FINE_BASES, _MAX_FINE_WIDTH)
        weighting = {**soap["weighting"], "m": 6.0}
        soap |= {"n_max": n_max, "l_max": l_max, "sigma": 0.2, "weighting": weighting}
    # A grid so coarse that all elements are in its first cell: the number of atoms of each, divided by its width.
    features: Tables = {
        "counts": {
            "type": "MBTR",
            **_periodic(form),
            "geometry": {"function": "atomic_number"},
            "grid": {"min": 0, "max": _COARSE, "n": 2, "sigma": 1.0},
        },
        "soap": soap,
        "all": {"join": ["counts", "soap"], "only_joined": True, "title": "all features"},
    }
    why = (
        "The number of atoms of each element explains more than 90 % of the target's variance: it grows with size, so "
        f"features are summed over the atoms, beside counts of the elements. {_species_in_words(form)}."
    )
    return Described(features, why, _SMOOTH, soap=True)


def _atoms(form: Form) -> Described:
    """Return the surroundings of each atom."""
    n_max, l_max = _basis(form, form.n_samples, 1)
    why = f"The target belongs to atoms, so each is described by its own surroundings. {_species_in_words(form)}."
    soap = _soap(form, n_max, l_max)
    if form.inputs == "crystals" and len(form.elements) > FEW_ELEMENTS:
        soap |= {"sigma": 0.3, "weighting": {"function": "pow", "r0": 2.5, "c": 1.0, "d": 1.0, "m": 4.0}}
        why += " Near neighbours count most."
    return Described({"soap": soap}, why, soap=True)


def _channels(form: Form) -> int:
    """Return how many channels of species SOAP has."""
    return min(len(form.elements), FEW_ELEMENTS)


def _soap(form: Form, n_max: int, l_max: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "SOAP", **_periodic(form)}
    entry |= {"r_cut": 5.0, "n_max": n_max, "l_max": l_max, "sigma": 0.5 if form.inputs == "crystals" else 0.3}
    if form.inputs == "molecules":  # neighbours count for less the farther they are
        entry["weighting"] = {"function": "pow", "r0": 2.0, "c": 1.0, "d": 1.0, "m": 4.0}
    if len(form.elements) > FEW_ELEMENTS:
        entry["species_embedding"] = {"type": "ElementEmbedding", "n_channels": FEW_ELEMENTS}
    return entry


def _periodic(form: Form) -> dict[str, bool]:
    return {"periodic": form.inputs == "crystals"}


def _basis(
    form: Form, n_rows: int, copies: int, bases: Sequence[tuple[int, int]] = _BASES, most: int = _MAX_WIDTH
) -> tuple[int, int]:
    """Return the finest basis of SOAP whose features are not too many, and neither too large nor too dear."""
    for n_max, l_max in bases:
        width = (_channels(form) * n_max) * (_channels(form) * n_max + 1) // 2 * (l_max + 1)
        fits = copies * width * n_rows * 8 <= _MAX_BYTES and width * form.n_atoms <= _MAX_WORK
        if fits and copies * width <= most:
            break
    return n_max, l_max


def _evaluation_for(form: Form) -> tuple[dict[str, Any], str]:
    """Return what is found out about the best model, and why."""
    learning_curve, n_repeats = next(tuple(rest) for limit, *rest in _EVALUATION if form.n_samples <= limit)
    often = "once" if n_repeats == 1 else "twice" if n_repeats == 2 else f"{n_repeats} times"
    why = (
        f"{'The learning curve is made' if learning_curve else 'No learning curve is made'}, and features are "
        f"scrambled {often} for their importance: with {form.n_samples:,} samples "
        + ("both are quick." if learning_curve else "these would take most of the time.")
    )
    return {"learning_curve": learning_curve, "n_repeats": n_repeats, "shap": False, "level": 0.9}, why


def _species_in_words(form: Form) -> str:
    if len(form.elements) > FEW_ELEMENTS:
        return f"SOAP sees the {len(form.elements)} elements through {FEW_ELEMENTS} channels that mix similar ones"
    if len(form.elements) == 1:
        return "SOAP sees where the neighbours of each atom are"
    return f"SOAP sees each pair of the {len(form.elements)} elements by itself"

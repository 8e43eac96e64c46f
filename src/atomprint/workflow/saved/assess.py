"""Whether new samples are like those of the training, and what is unusual about each, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.layout import symbols_of
from atomprint.learn.models.doubt import Signs
from atomprint.util.text import counted, share
from atomprint.workflow.saved.contents import Content
from atomprint.workflow.saved.detector import DISTANCE, GEOMETRY
from atomprint.workflow.saved.distances import CHANGED, FloatArray, Indices, dense_rows, kernel_distances
from atomprint.workflow.saved.domain import LEVEL, Domain

_ROUNDING = 1e-5  # of distances, of which the last coordinate is what is left of large numbers
_MAX_NAMED = 10
_NOTHING: Signs = {}


class Assessment(NamedTuple):
    """Whether samples are like those of the training.

    Parameters
    ----------
    in_domain : ndarray of bool, shape (n,)
        Whether elements, geometry, distance and features are those of the training.
    distance : ndarray of float64, shape (n,)
        Distance to the training set; nan where it is not known.
    warnings : list of tuple of str
        What is unusual about each sample, in sentences.
    in_training : ndarray of bool, shape (n,), or None
        Whether its structure or composition is one of the training set, which is in the domain by definition; None if
        that is not known.
    doubt : ndarray of float64, shape (n,), or None
        How unusual each is by all signs together, see :class:`~atomprint.workflow.saved.detector.Detector`: above 1 is
        outside. None if the domain or the model does not know.
    """

    in_domain: npt.NDArray[np.bool_]
    distance: FloatArray
    warnings: list[tuple[str, ...]]
    in_training: npt.NDArray[np.bool_] | None
    doubt: FloatArray | None = None


def assess(
    domain: Domain,
    X: Any,
    contents: Sequence[Content],
    structures: Indices,
    names: Sequence[str] = (),
    signs: Signs = _NOTHING,
    unit: str = "",
) -> Assessment:
    """Compare samples with the training set.

    Parameters
    ----------
    X : array or sparse array of shape (n, n_features)
        As for :meth:`fit`.
    contents : sequence of Content
        What structures consist of.
    structures : ndarray of int, shape (n,)
        The structure that each sample is or belongs to.
    names : sequence of str
        Names of the features, for the warnings.
    signs : dict of str to ndarray of float64, shape (n,)
        What the model is in doubt about, and under ``ERRORS`` the errors that are to be expected.
    unit : str
        Unit of the target, for the warnings.

    Returns
    -------
    Assessment
    """
    n = len(structures)
    distance, n_outside = np.full(n, np.nan), np.zeros(n, dtype=np.intp)
    worst, new_features = [""] * n, [""] * n
    if domain.kernel and np.isfinite(domain.threshold):
        distance = kernel_distances(dense_rows(X))
    elif domain.space is not None:
        dense = dense_rows(X)
        distance = domain.space.distances(dense)
        beyond = domain.space.outside(dense)
        n_outside = (beyond > 0).sum(axis=1)
        for far in np.flatnonzero(n_outside > domain.max_outside).tolist():
            worst[far] = _worst(domain, dense[far], beyond[far], names)
        if domain.max_changed is not None:
            changed = np.where(domain.space.constant, beyond, 0.0)
            n_changed = (changed > CHANGED).sum(axis=1)
            for far in np.flatnonzero(n_changed > domain.max_changed).tolist():
                new_features[far] = _changed(domain, dense[far], changed[far], names)
    known = np.array([_is_known(domain, content) for content in contents], dtype=bool)
    packing = domain.packing
    measured = [
        None if packing is None or content.geometry is None else packing.measured(content.geometry)
        for content in contents
    ]
    new = [list(_about_structure(domain, *pair)) for pair in zip(contents, measured, strict=True)]
    sizes = [_about_size(domain, content) for content in contents]
    in_domain = np.ones(n, dtype=bool)
    doubt, rarities = None, None
    if domain.detector is not None:
        signs = {**signs, DISTANCE: distance}
        if packing is not None and all(values is not None for values in measured):
            signs[GEOMETRY] = packing.novelty(np.array(measured))[structures]
        rarities = domain.detector.rarities(signs)
        doubt = None if rarities is None else domain.detector.scores(rarities)
    warnings: list[tuple[str, ...]] = []
    for row, s in enumerate(structures.tolist()):
        if known[s]:
            warnings.append(())
            continue
        outside = list(new[s])
        if distance[row] > domain.threshold + _ROUNDING * (1 + domain.threshold):
            outside.append(
                f"farther from the training set than {LEVEL:.0%} of its own samples are from the rest of it: "
                f"distance {distance[row]:.3g}, limit {domain.threshold:.3g}"
            )
        outside += [sentence for sentence in (worst[row], new_features[row]) if sentence]
        if domain.detector is not None and rarities is not None and doubt is not None and doubt[row] > 1:
            outside.append(domain.detector.sentence(rarities, signs, row, unit))
        in_domain[row] = not outside
        warnings.append(tuple(outside) + ((sizes[s],) if sizes[s] else ()))
    return Assessment(in_domain, distance, warnings, None if domain.seen is None else known[structures], doubt)


def _is_known(domain: Domain, content: Content) -> bool:
    known = domain.seen is not None and content.identity is not None and domain.seen.has(content.identity)
    return known and not _is_of_another_kind(domain, content)


def _about_structure(domain: Domain, content: Content, measured: FloatArray | None) -> Iterator[str]:
    unknown = sorted(content.elements - set(domain.elements))
    if unknown:
        named = ", ".join(symbols_of(unknown))
        are = "are" if len(unknown) > 1 else "is"
        yield f"contains {named}, which {are} not in the training set ({_symbols(domain)})"
    if domain.packing is not None and content.geometry is not None and measured is not None:
        yield from domain.packing.unusual(content.geometry, measured)
    if _is_of_another_kind(domain, content):
        seen = " or ".join(map(str, domain.n_repeats or ())) or "materials, by their formulas"
        n = content.n_repeats
        what = f"repeats in {n} directions" if n else "a molecule or cluster"
        yield f"{what}, of which the model sees the composition alone; the training set has {seen}"


def _is_of_another_kind(domain: Domain, content: Content) -> bool:
    """Return whether a model of compositions is asked about a structure that repeats as none of its own does."""
    usual = domain.n_repeats or (3,)  # formulas are those of materials
    return domain.n_repeats is not None and content.n_repeats is not None and content.n_repeats not in usual


def _about_size(domain: Domain, content: Content) -> str:
    if content.n_atoms is None or domain.n_atoms is None or domain.n_atoms[0] <= content.n_atoms <= domain.n_atoms[1]:
        return ""
    low, high = domain.n_atoms
    seen = f"{low}" if low == high else f"{low} to {high}"
    return f"has {counted(content.n_atoms, 'atom')}; structures of the training set have {seen}"


def _worst(domain: Domain, x: FloatArray, beyond: FloatArray, names: Sequence[str]) -> str:
    assert domain.space is not None
    worst = int(np.argmax(beyond))
    name, n = names[worst] if len(names) else f"feature {worst}", int((beyond > 0).sum())
    return (
        f"{share(n, len(beyond), 'feature')} outside the ranges of the training set "
        f"(usual: up to {domain.max_outside}), most of all {name}: {x[worst]:.3g}, "
        f"range {domain.space.lower[worst]:.3g} to {domain.space.upper[worst]:.3g}"
    )


def _changed(domain: Domain, x: FloatArray, beyond: FloatArray, names: Sequence[str]) -> str:
    assert domain.space is not None
    worst = int(np.argmax(beyond))
    name, n = names[worst] if len(names) else f"feature {worst}", int((beyond > CHANGED).sum())
    which = f"{counted(n, 'feature')} that never {'varies' if n == 1 else 'vary'}"
    return (
        f"{which} in the training set {'is' if n == 1 else 'are'} different (usual: "
        f"up to {domain.max_changed}), most of all {name}: {x[worst]:.3g}, not {domain.space.lower[worst]:.3g}"
    )


def _symbols(domain: Domain) -> str:
    symbols = symbols_of(domain.elements)
    rest = len(symbols) - _MAX_NAMED
    return ", ".join(symbols[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""What features are about, in groups: elements, species pairs, shells, angles, element properties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from atomprint.layout import Meanings
from atomprint.util.types import Indices

Groups = Mapping[str, Indices]
"""Columns of each group of features, by its label."""

# Ways to group that say nothing if there is only one group.
_COMPARISONS = frozenset({"descriptors", "pooling", "statistics", "terms"})
# Ways to group that say where features come from, but not what they are about.
_ORIGINS = frozenset({"descriptors", "pooling", "elements of centres", "channels of centres"})


def feature_groups(features: Meanings | Iterable[str]) -> dict[str, Groups]:
    """Sort features into groups that have a meaning.

    Parameters
    ----------
    features : Meanings or iterable of str
        What the features are about, as :func:`~atomprint.learn.meanings_of` gives it for a descriptor, also a pooled
        one, or a ``FeatureUnion``. Of names alone nothing is known but the names.

    Returns
    -------
    dict of str to dict of str to ndarray of int
        For each way of grouping the columns of each group, in the order in which they come. A feature may be in
        several groups of one way: one that couples C and O is in the groups of both elements. The ways are those of
        the following that apply, and those that a descriptor of yours gives its features (its ``Layout``):

        - "descriptors": the blocks of a ``FeatureUnion``, if there are several;
        - "elements": the elements that a feature is about, whatever else it is about; of the environment, not the
          centre, for descriptors of centres;
        - "elements of centres": of the atoms pooled, with ``by_species`` or ``channels="species"``;
        - "channels of centres": other channels of the elements of the atoms pooled;
        - "species pairs", "species triples", "species quadruples": the combination of elements, in which "X" is the
          centre of LMBTR and "all" any element;
        - "element channels": combinations of the channels of an embedding of the elements;
        - "radial channels" and "angular channels" (SOAP): n, from the centre to the cutoff, and l; features that couple
          two radial channels are in both groups; of ACE the largest n and l of the factors, and "body orders"; the n of
          each block of a ``FeatureUnion`` for itself, as they are not the same functions;
        - "radial shells" (MBTR, LMBTR, ValleOganov with distances or inverse distances, RadialDistribution): distances
          in steps of 1 Å; "angles" (the same with angles or cosines, AngularDistribution): in steps of 30°;
        - "radial functions" and "angular functions" (ACSF): G1 to G3 and G4, G5 with their parameters;
        - "terms" (MBTR): the geometry, if there are several;
        - "element properties" (ElementProperty, CompositionChannels, OxidationStates), "statistics" (ElementProperty,
          NeighbourStatistics, StructureStatistics), "symmetry" (SpaceGroup), "coordination" (CoordinationNumbers),
          "order parameters" (SteinhardtParameters), "shells of order" (WarrenCowley), "diffraction angles" in steps of
          10° (PowderDiffraction);
        - "rows of the matrix", "eigenvalues" (Coulomb, sine and Ewald matrices);
        - "pooling": the method, if there are several;
        - "features": each feature that is none of these, for itself.
    """
    known = features if isinstance(features, Meanings) else Meanings.of_names(features)
    n = max(len(known.names), 1)
    numbers: dict[tuple[str, str], int] = {}
    merged = np.array([numbers.setdefault(group, len(numbers)) for group in known.groups], dtype=np.intp)
    pairs = np.sort(merged[known.codes] * n + known.columns)  # some are there twice: n = n' = 1
    group_of, columns = divmod(pairs[np.diff(pairs, prepend=-1) > 0], n)
    ends = np.searchsorted(group_of, np.arange(len(numbers)), side="right")
    found: dict[str, dict[str, Indices]] = {"descriptors": {}}
    unknown = np.ones(len(known.names), dtype=bool)
    for (way, label), own in zip(numbers, np.split(columns, ends), strict=False):
        if label and len(own):
            found.setdefault(way, {})[label] = own
            unknown[own] &= way in _ORIGINS
    found["features"] = {str(known.names[k]): np.array([k]) for k in np.flatnonzero(unknown).tolist()}
    return {way: groups for way, groups in found.items() if len(groups) > (way in _COMPARISONS)}

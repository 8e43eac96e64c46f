"""What makes up the distance of two rows, in the words of their descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atomprint.layout import Meanings
from atomprint.util.types import FloatArray

_SHOWN, _LEAST = 3, 0.01


@dataclass(frozen=True)
class Explanation:
    """What makes up a distance.

    Parameters
    ----------
    shares : mapping of str to (mapping of str to float)
        By the way to group features (``"elements"``, ``"species pairs"``, ``"shells"`` …) and the group: what part of
        the squared distance features of this group make, largest first. One that is in several groups, such as that
        of a pair of elements in those of either, counts for all in equal parts.
    features : mapping of str to float
        The features that make the largest parts.
    gained, lost : tuple of str
        Elements that the hit has and the query has not, and the other way round; empty where those of the query are not
        known.
    """

    shares: Mapping[str, Mapping[str, float]]
    features: Mapping[str, float]
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.features:
            return "no feature differs"
        parts = [f"has {', '.join(self.gained)} besides"] if self.gained else []
        parts += [f"lacks {', '.join(self.lost)}"] if self.lost else []
        for way, groups in self.shares.items():
            told = [f"{label} {100 * share:.0f} %" for label, share in groups.items() if share >= _LEAST][:_SHOWN]
            parts.append(f"{way}: {', '.join(told)}")
        if not self.shares:
            parts.append(", ".join(f"{name} {100 * share:.0f} %" for name, share in self.features.items()))
        return "; ".join(parts)


class Explainer:
    """Says what makes up distances in the features of one descriptor.

    Parameters
    ----------
    meanings : Meanings
        Of the features.
    """

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        ways = {way: number for number, way in enumerate(dict.fromkeys(way for way, _ in meanings.groups))}
        own_way = np.array([ways[way] for way, _ in meanings.groups], dtype=np.intp)[meanings.codes]
        place = meanings.columns * max(1, len(ways)) + own_way
        self._weights = 1 / np.bincount(place)[place]  # of a feature in each of its groups

    def __call__(self, difference: FloatArray) -> Explanation:
        """Return what makes up the distance of two rows.

        Parameters
        ----------
        difference : ndarray, shape (n_features,)
            Of the rows, as they are compared.
        """
        squares = difference**2
        total = float(squares.sum())
        if not total > 0:
            return Explanation({}, {})
        meanings = self._meanings
        parts = squares[meanings.columns] * self._weights / total
        sums = np.bincount(meanings.codes, weights=parts, minlength=len(meanings.groups))
        shares: dict[str, dict[str, float]] = {}
        for (way, label), share in zip(meanings.groups, sums.tolist(), strict=True):
            own = shares.setdefault(way, {})
            own[label] = own.get(label, 0.0) + share
        shares.pop("descriptors", None)
        largest = np.argsort(-squares, kind="stable")[:5]
        return Explanation(
            {way: _sorted(groups) for way, groups in shares.items() if len(groups) > 1},
            {
                meanings.names[column]: float(squares[column]) / total
                for column in largest.tolist()
                if squares[column] > 0
            },
        )


def _sorted(groups: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(groups.items(), key=lambda item: -item[1]))

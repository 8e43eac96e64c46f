"""Numbers that say how long an edge is, and where it points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from atomprint.graphs.graphs import Graphs
from atomprint.util.parameters import CheckedParameters
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_integer, check_length, check_real

_CHUNK = 2**20  # numbers that are made at once
_LEAST = np.log(
    1e-20
)  # of Gaussians: what is left of smaller ones in single precision slows a network down several times


class GaussianDistances(CheckedParameters):
    r"""Gaussians of the distance, which a network reads better than the number itself.

    Feature k is :math:`\exp(-(r - \mu_k)^2 / 2 \sigma^2)`, with :math:`\mu_k` at even steps; below 1e-20 it is 0.

    Parameters
    ----------
    r_max : float
        The last :math:`\mu_k`, in Å.
    n : int
        Number of Gaussians, at least 2.
    r_min : float
        The first, in Å.
    sigma : float, optional
        In Å; the step by default.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.graphs import NeighbourGraph
    >>> GaussianDistances(r_max=4.0, n=5)(NeighbourGraph(r_cut=2.5).create(bulk("Si")))[0].round(3)
    array([0.063, 0.401, 0.94 , 0.81 , 0.257])
    """

    def __init__(self, r_max: float = 8.0, n: int = 41, r_min: float = 0.0, sigma: float | None = None) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_real("r_min", self.r_min, at_least=0)
        check_length("r_max", self.r_max)
        check_real("r_max", self.r_max, above=self.r_min)
        check_integer("n", self.n, 2)
        if self.sigma is not None:
            check_real("sigma", self.sigma, above=0)

    @property
    def centers(self) -> FloatArray:
        """Where the Gaussians are, in Å, shape (n,)."""
        return np.linspace(self.r_min, self.r_max, self.n)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [f"distance {center:.3g} Å" for center in self.centers]

    def __call__(self, graphs: Graphs) -> FloatArray:
        """Return the features of all edges, shape (n_edges, n)."""
        centers = self.centers
        sigma = float(centers[1] - centers[0]) if self.sigma is None else float(self.sigma)

        def gaussians(r: FloatArray) -> FloatArray:
            exponents = -0.5 * ((r[:, None] - centers) / sigma) ** 2
            return np.where(exponents > _LEAST, np.exp(exponents), 0.0)

        return _by_pieces(graphs, self.n, gaussians)


class BesselDistances(CheckedParameters):
    r"""Waves of the distance that end at a cutoff.

    Feature k = 1, 2, … is :math:`\sqrt{2 / c} \sin(k \pi r / c) / r` with the cutoff *c* [1]_; with a ``power`` p times
    :math:`1 - (p+1)(p+2)/2\, x^p + p (p+2)\, x^{p+1} - p (p+1)/2\, x^{p+2}`, x = r / c, which ends with two derivatives
    that are zero.

    Parameters
    ----------
    r_max : float
        *c*, in Å. Beyond, features are 0.
    n : int
        Number of waves.
    power : int, optional
        Of the factor that makes features smooth at the cutoff. Default: none.

    References
    ----------
    .. [1] J. Gasteiger, J. Groß, S. Günnemann, "Directional message passing for molecular graphs", ICLR (2020),
       arXiv:2003.03123.
    """

    def __init__(self, r_max: float = 5.0, n: int = 8, power: int | None = None) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_length("r_max", self.r_max)
        check_integer("n", self.n, 1)
        if self.power is not None:
            check_integer("power", self.power, 1)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [f"wave {k + 1}" for k in range(self.n)]

    def __call__(self, graphs: Graphs) -> FloatArray:
        """Return the features of all edges, shape (n_edges, n)."""
        c, k = float(self.r_max), np.arange(1, self.n + 1)

        def waves(r: FloatArray) -> FloatArray:
            x = r / c
            factor = np.where(x < 1, np.sqrt(2 / c) / r, 0.0)
            if self.power is not None:
                p = self.power
                factor *= 1 - x**p * ((p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * p * (p + 1) / 2))
            return np.asarray(factor[:, None] * np.sin(np.pi * x[:, None] * k))

        return _by_pieces(graphs, self.n, waves)


EDGE_FEATURES = ("gaussian", "bessel", "distance", "direction", "shift")

EdgeFeatures = Callable[[Graphs], Any]


def edge_features(chosen: Any, graphs: Graphs) -> FloatArray:
    """Return the features of edges that were chosen by name, or by what makes them, or several of these side by side.

    Raises
    ------
    ValueError, TypeError
        If a choice is unknown, needs a cutoff that the graphs lack, or gives something else than a row for each edge.
    """
    parts = chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]
    return np.concatenate([_one(part, graphs) for part in parts], axis=1) if parts else np.zeros((graphs.n_edges, 0))


def check_edge_features(chosen: Any) -> None:
    """Raise unless features are chosen by known names or by what makes them."""
    for part in chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]:
        if not callable(part):
            check_choice("edges", part, EDGE_FEATURES)


def _one(chosen: Any, graphs: Graphs) -> FloatArray:
    if not callable(chosen):
        check_choice("edges", chosen, EDGE_FEATURES)
        if chosen == "direction":
            return graphs.directions
        if chosen == "distance":
            return graphs.distances[:, None]
        if chosen == "shift":
            return graphs.shifts.astype(np.float64)
        if graphs.r_cut is None:
            needed = {"gaussian": "GaussianDistances", "bessel": "BesselDistances"}[chosen]
            raise ValueError(f"edges={chosen!r} needs graphs with an r_cut: take {needed}(r_max=…)")
        maker = GaussianDistances if chosen == "gaussian" else BesselDistances
        chosen = maker(graphs.r_cut)
    return rows("edges", chosen(graphs), graphs.n_edges)


def rows(name: str, given: Any, n: int) -> FloatArray:
    """Return features as an array of so many rows, or raise."""
    found = np.asarray(given)
    if found.ndim != 2 or len(found) != n or found.dtype.kind not in "fiub":
        raise ValueError(f"{name} must give numbers of shape ({n}, n_features), got {found.dtype} of {found.shape}")
    return found


def _by_pieces(graphs: Graphs, n: int, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return a function of distances in one array, with little besides it."""
    found = np.empty((graphs.n_edges, n))
    step = max(1, _CHUNK // n)
    for k in range(0, graphs.n_edges, step):
        found[k : k + step] = function(graphs.distances[k : k + step])
    return found

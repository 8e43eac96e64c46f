"""Distributions of distances and angles, of all atoms and by their elements."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np

from atomprint.descriptors.broadened import Broadened, Term, calculator, check_term
from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.layout import Axis, Block, Layout, sector, shell, symbols_of
from atomprint.ragged import owners
from atomprint.structures import Batch, StructureError
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_choice, check_integer, check_length, check_periodic, check_real

_LARGEST_GRID = 10**4
_REACH = 9.0  # standard deviations beyond which nothing is left of a Gaussian


class _Scale(NamedTuple):
    """How counts of the combinations of elements become features.

    Parameters
    ----------
    partial : ndarray, shape (n_structures, n_combinations)
        Factors of each combination.
    total : ndarray, shape (n_structures,)
        That of all together.
    bins : ndarray, shape (n,)
        Of each bin.
    """

    partial: FloatArray
    total: FloatArray
    bins: FloatArray


class _Distribution(Broadened):
    """A histogram with smooth bins, from what MBTR counts: the total, and that of each combination of elements."""

    n: int
    sigma: float
    r_cut: float
    total: bool
    partial: bool

    _writes_sparse = False
    _has_gaps = False
    _spreads_nan = False
    _adds_up = False

    def _validate(self) -> None:
        check_length("r_cut", self.r_cut)
        check_integer("n", self.n, 2, _LARGEST_GRID)
        check_real("sigma", self.sigma, above=0)
        if not check_bool("total", self.total) | check_bool("partial", self.partial):
            raise ValueError("total must be True where partial is False, got False in both")
        super()._validate()

    def _scaling(self) -> tuple[str, bool]:
        return "none", True

    def _step(self) -> float:
        (term,) = self._terms()
        return term.spacing

    def _scale(self, call: Call) -> _Scale:
        raise NotImplementedError

    def _volumes(self, call: Call) -> FloatArray | None:
        """Return the volumes that features are proportional to, if they are."""
        return None

    def _is_density(self) -> bool:
        """Return whether the area of the total is 1."""
        return False

    def _n_raw(self) -> int:
        (term,) = self._terms()
        return term.n_features(len(self._told_apart()), self._local)

    def _told_apart(self) -> tuple[int, ...]:
        """Return the species that are counted apart: where only the total is asked for, all atoms are of one."""
        return self._species() if self.partial else self._species()[:1]

    def _calculator(self) -> Any:
        return calculator(str(self._dtype()), self._terms(), *self._scaling(), self._local, self._told_apart())

    def _counted(self, call: Call) -> Call:
        """Return the call with the species that are counted apart."""
        if self.partial:
            return call
        numbers = np.full_like(call.batch.numbers, self._told_apart()[0])
        return replace(call, batch=replace(call.batch, numbers=numbers))

    def _n_features(self) -> int:
        return int(self.n) * bool(self.total) + self._n_raw() * bool(self.partial)

    def _layout(self) -> Layout:
        (term,) = self._terms()
        points, digits = np.linspace(term.minimum, term.maximum, term.n), 6
        while len(set(texts := [f"{x:.{digits}g}" for x in points])) < term.n:
            digits += 1
        if term.order == 2:
            axis = Axis("radial shells", [f"r={text}" for text in texts], [shell(x) for x in points])
        else:
            axis = Axis("angles", [f"angle={text}" for text in texts], [sector(x) for x in points])
        keys = [()] if self.total else []
        return Layout(
            type(self).__name__,
            [
                Block(key, [axis])
                for key in (*keys, *(term.keys(symbols_of(self._species()), False) if self.partial else ()))
            ],
        )

    def get_location(self, species: Any, term: int | None = None) -> slice:
        """Return where the features of a combination of species are.

        Parameters
        ----------
        species : sequence of str or int
            Two or three chemical symbols or atomic numbers, of angles with the central atom in the middle; none for
            the total.
        term : None
            There is one term only.

        Returns
        -------
        slice
            Into the features of a structure.

        Raises
        ------
        ValueError
            If there are no features for this combination.
        """
        return self._layout().location(species)

    # -----------------------------------------------------------------------------------------------------------------

    def _raw(self, call: Call) -> FloatArray:
        """Return the densities of what is counted, shape (n_structures, n_combinations, n)."""
        raw = np.zeros((len(call), self._n_raw()), dtype=call.dtype)
        super()._compute(self._counted(call), raw)
        return raw.astype(np.float64).reshape(len(call), -1, int(self.n))

    def _areas(self, raw: FloatArray) -> FloatArray:
        """Return what the area of the total is divided by to be 1; infinite where there is none."""
        areas = raw.sum(axis=(1, 2)) * self._step()
        return np.where(areas > 0, areas, np.inf)

    def _features(self, call: Call, raw: FloatArray) -> FloatArray:
        found = self._combined(self._scale(call), raw[:, None])[:, 0]
        if (volumes := self._volumes(call)) is not None:
            found *= volumes[:, None]
        if self._is_density():
            found /= self._areas(raw)[:, None]
        return found

    def _combined(self, scale: _Scale, raw: FloatArray) -> FloatArray:
        """Return features of rows of counts, (n_structures, n_rows, n_combinations, n), without what depends on all."""
        rows = []
        if self.total:
            rows.append(raw.sum(axis=2) * scale.total[:, None, None] * scale.bins)
        if self.partial:
            scaled = raw * scale.partial[:, None, :, None] * scale.bins
            rows.append(scaled.reshape(*raw.shape[:2], self._n_raw()))
        return np.concatenate(rows, axis=2)

    def _compute(self, call: Call, out: Any) -> None:
        out[:] = self._features(call, self._raw(call))

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        scale, raw, n = self._scale(call), self._raw(call), int(self.n)
        features = self._features(call, raw)
        if out.features is not None:
            out.features[:] = features
        weights = cotangents.reshape(-1, *cotangents.shape[-2:]).astype(np.float64)
        along = np.einsum("jsf,sf->js", weights, features)
        volumes = self._volumes(call)
        scaled = weights if volumes is None else weights * volumes[:, None]
        if self._is_density():
            scaled = scaled / self._areas(raw)[:, None]
        back = np.zeros((len(weights), *raw.shape))
        if self.total:
            back += (scaled[:, :, None, :n] * scale.total[:, None, None]) * scale.bins
        if self.partial:
            start = n if self.total else 0
            back += scaled[:, :, start:].reshape(back.shape) * scale.partial[:, :, None] * scale.bins
        if self._is_density():
            back -= (along / self._areas(raw) * self._step())[:, :, None, None]
        shape = (*cotangents.shape[:-1], self._n_raw())
        super()._vjp(self._counted(call), back.reshape(shape).astype(call.dtype), out._replace(features=None))
        if volumes is not None and out.strain is not None:
            own = out.strain.reshape(-1, len(call), 3, 3)
            own[:, :, range(3), range(3)] += along[:, :, None]

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        scale, raw, volumes = self._scale(call), self._raw(call), self._volumes(call)
        features, areas = self._features(call, raw), self._areas(raw)
        if out.features is not None:
            out.features[:] = features
        given = [array for array in (out.positions, out.strain) if array is not None]
        own = [np.zeros((*array.shape[:-1], self._n_raw()), dtype=call.dtype) for array in given]
        arrays = iter(own)
        super()._jacobian(
            self._counted(call),
            Derivatives(
                None if out.positions is None else next(arrays), None if out.strain is None else next(arrays), None
            ),
        )
        firsts = call.selection.row_offsets
        for array, slopes in zip(given, own, strict=True):
            for s in range(len(call)):
                part = slice(s, s + 1) if array.ndim == 4 else slice(firsts[s], firsts[s + 1])
                n_rows = int(np.prod(slopes[part].shape[:-1]))
                rows = slopes[part].astype(np.float64).reshape(1, n_rows, *raw.shape[1:])
                one = _Scale(scale.partial[s : s + 1], scale.total[s : s + 1], scale.bins)
                found = self._combined(one, rows)[0] * (1.0 if volumes is None else volumes[s])
                if self._is_density():
                    found -= features[s] * (rows[0].sum(axis=(1, 2)) * self._step())[:, None]
                    found /= areas[s]
                array[part] += found.reshape(array[part].shape).astype(array.dtype)
        if volumes is not None and out.strain is not None:
            out.strain[:, range(3), range(3)] += features[:, None].astype(out.strain.dtype)


@public("RadialDistribution", version=1, in_recipes=True)
class RadialDistribution(_Distribution):
    r"""Radial distribution of atoms: how many there are at each distance, of all elements and by pairs of these.

    With the number :math:`n_{AB}(r)` of atoms B in a bin at the distance r from an atom A, on average, the features
    are

    .. math:: g_{AB}(r) = \frac{n_{AB}(r)}{v(r) N_B / V}, \qquad g(r) = \frac{n(r)}{v(r) N / V}

    with the volume v of the spherical shell, N atoms in the volume V: 1 where there is no order. Each pair is spread as
    a Gaussian over the bins, so that features change smoothly.

    Parameters
    ----------
    species : sequence of str or int, optional
        All species that may occur. Default: learnt in :meth:`fit`.
    r_cut : float
        End of the last bin, in Å. The first begins at 0.
    n : int
        Number of bins.
    sigma : float
        Standard deviation of the Gaussians, in Å.
    normalization : {"g", "counts"}
        g as above, for crystals; or the mean number of neighbours of an atom in each bin, and the share of each pair
        of elements in it.
    total, partial : bool
        Whether there are features of all atoms together, and of each pair of elements.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether :meth:`create` returns SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Of the features. The computation is in double precision, and the result is rounded once.
    n_jobs : int
        Number of threads; -1 means all cores. Structures are shared out over them.

    Notes
    -----
    A feature is named after the middle of its bin. Neither the choice of the cell nor its repetition matters.
    Derivatives are analytical.

    See Also
    --------
    ValleOganov : nearly the same, at points in place of bins, with 1 / r^2 of the pair itself
    MBTR : any weights and normalizations

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import RadialDistribution
    >>> salt = bulk("NaCl", "rocksalt", a=5.64)
    >>> counts = RadialDistribution(["Na", "Cl"], r_cut=3.2, n=2, normalization="counts")
    >>> names = counts.get_feature_names_out().tolist()
    >>> print(names[1], counts.create(salt)[1].round(3))
    RadialDistribution r=2.4 6.0
    """

    def __init__(
        self,
        species: Any = None,
        r_cut: float = 8.0,
        n: int = 80,
        sigma: float = 0.1,
        normalization: str = "g",
        total: bool = True,
        partial: bool = True,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_choice("normalization", self.normalization, ("g", "counts"))
        if self.normalization == "g" and check_periodic(self.periodic) is False:
            raise ValueError("normalization must be 'counts' with periodic=False, got 'g': g needs a volume")
        super()._validate()

    def _terms(self) -> tuple[Term, ...]:
        r_cut, n = float(self.r_cut), int(self.n)
        step, sigma = r_cut / n, float(self.sigma)
        grid = {"min": step / 2, "max": r_cut - step / 2, "n": n, "sigma": sigma}
        given = {"geometry": {"function": "distance"}, "grid": grid}
        # Pairs beyond the last bin reach into it.
        return (replace(check_term(given, "", False, (2,)), cutoff=r_cut + _REACH * sigma + step),)

    def _check_batch(self, batch: Batch) -> None:
        super()._check_batch(batch)
        if self.normalization == "g":
            volumes = np.abs(np.linalg.det(batch.cells))
            bad = np.flatnonzero(~(batch.pbc.all(axis=1) & (volumes > 0)))
            if len(bad):
                rule = "must repeat along three vectors for normalization='g'; 'counts' needs no volume"
                raise StructureError(int(bad[0]), None, rule)

    def _volumes(self, call: Call) -> FloatArray | None:
        return np.abs(np.linalg.det(call.batch.cells)) if self.normalization == "g" else None

    def _scale(self, call: Call) -> _Scale:
        n_atoms, step = call.batch.n_atoms.astype(np.float64), self._step()
        kinds = list(combinations_with_replacement(range(len(self._species())), 2))
        if self.normalization == "counts":  # a pair is seen from both of its atoms
            factor = 2 * step / n_atoms
            return _Scale(np.repeat(factor[:, None], len(kinds), axis=1), factor, np.ones(int(self.n)))
        counts = _numbers_of(call, len(self._species()))
        products = np.column_stack([counts[:, a] * counts[:, b] / (2 if a == b else 1) for a, b in kinds])
        partial = np.divide(1, products, out=np.zeros_like(products), where=products > 0)
        edges = np.arange(int(self.n) + 1) * step
        shells = 4 / 3 * np.pi * np.diff(edges**3) / step
        return _Scale(partial, 2 / n_atoms**2, 1 / shells)


@public("AngularDistribution", version=1, in_recipes=True)
class AngularDistribution(_Distribution):
    r"""Distribution of the angles between bonds, of all atoms and by triples of elements.

    Each pair of neighbours j, k of an atom i within ``r_cut`` has the angle at i and the weight
    :math:`f(r_{ij}) f(r_{ik})` with :math:`f = 1 + 2 (r / r_{cut})^3 - 3 (r / r_{cut})^2`, which goes to zero smoothly.
    It is spread as a Gaussian over the bins from 0 to 180 degrees.

    Parameters
    ----------
    species : sequence of str or int, optional
        All species that may occur. Default: learnt in :meth:`fit`.
    r_cut : float
        Cutoff of bonds, in Å.
    n : int
        Number of bins.
    sigma : float
        Standard deviation of the Gaussians, in degrees.
    normalization : {"density", "counts"}
        Whether the area of the total is 1 (in 1/degree), or features are sums of weights per atom.
    total, partial : bool
        Whether there are features of all atoms together, and of each triple of elements; those of the triples sum to
        the total.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether :meth:`create` returns SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Of the features. The computation is in double precision, and the result is rounded once.
    n_jobs : int
        Number of threads; -1 means all cores. Structures are shared out over them.

    Notes
    -----
    A feature is named after the middle of its bin, and after three elements of which the central one is in the middle.
    Neither the choice of the cell nor its repetition matters. Without angles all features are 0.

    Derivatives are analytical. An angle has a kink at 0 and 180 degrees, where its derivative is taken as zero.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import AngularDistribution
    >>> angles = AngularDistribution(["H", "O"], r_cut=1.3, n=18, sigma=3.0, partial=False)
    >>> print(angles.get_feature_names_out()[angles.create(molecule("H2O")).argmax()])
    AngularDistribution angle=105
    """

    def __init__(
        self,
        species: Any = None,
        r_cut: float = 4.0,
        n: int = 36,
        sigma: float = 5.0,
        normalization: str = "density",
        total: bool = True,
        partial: bool = True,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_choice("normalization", self.normalization, ("density", "counts"))
        super()._validate()

    def _terms(self) -> tuple[Term, ...]:
        step = 180.0 / int(self.n)
        grid = {"min": step / 2, "max": 180 - step / 2, "n": int(self.n), "sigma": self.sigma}
        weighting = {"function": "smooth_cutoff", "r_cut": float(self.r_cut)}
        given = {"geometry": {"function": "angle"}, "grid": grid, "weighting": weighting}
        return (check_term(given, "", True, (3,)),)

    def _is_density(self) -> bool:
        return bool(self.normalization == "density")

    def _scale(self, call: Call) -> _Scale:
        n_kinds = self._n_raw() // int(self.n)
        factor = np.ones(len(call)) if self._is_density() else self._step() / call.batch.n_atoms
        return _Scale(np.repeat(factor[:, None], n_kinds, axis=1), factor, np.ones(int(self.n)))


def _numbers_of(call: Call, n_species: int) -> FloatArray:
    """Return how many atoms of each species the structures have, shape (n_structures, n_species)."""
    place = owners(call.batch.offsets) * n_species + call.species
    return np.bincount(place, minlength=len(call) * n_species).reshape(len(call), n_species).astype(np.float64)

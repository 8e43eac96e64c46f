"""Smooth overlap of atomic positions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.descriptors.engine.call import Call
from atomprint.descriptors.engine.pairs import PairBlock, compiled_pairs
from atomprint.descriptors.learned_embedding import LearnedEmbedding
from atomprint.descriptors.mixing import LARGEST_WEIGHT, MixesSpecies
from atomprint.descriptors.soap_basis import TABLE_ERROR, Zones, radial_table, zones
from atomprint.layout import Axis, Block, Layout, pair_keys, symbols_of
from atomprint.pooling.pooling import Pooling, PoolingPlan
from atomprint.ragged import offsets_of, owners
from atomprint.structures import Batch, StructureError
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import (
    check_choice,
    check_integer,
    check_keys,
    check_length,
    check_of_elements,
    check_real,
    check_species,
    meant,
)

_AVERAGES = ("off", "inner", "outer")
_MEAN = Pooling("mean")
_MODES = ("off", "mu2", "mu1nu1", "crossover")
_PRODUCTS = {
    "off": _core.SoapParameters.Products.all,
    "mu2": _core.SoapParameters.Products.all,
    "crossover": _core.SoapParameters.Products.diagonal,
    "mu1nu1": _core.SoapParameters.Products.total,
}
# Parameters of each weighting function: required, and optional with defaults.
_WEIGHTINGS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "poly": (("r0", "m"), {"c": 1.0}),
    "pow": (("r0", "m"), {"c": 1.0, "d": 1.0, "threshold": 1e-2}),
    "exp": (("r0",), {"c": 1.0, "d": 1.0, "threshold": 1e-2}),
    "exp_decay": (("r0",), {"c": 1.0, "d": 1.0, "threshold": 1e-2}),
}
# Gaussians of atoms beyond the cutoff reach into it: DScribe counts neighbours until they have decayed to 1e-3.
_REACH_IN_SIGMA = float(np.sqrt(-2 * np.log(1e-3)))


# Files do not tell which type a dtype object is: these have the version of float32, whose numbers have changed.
@public("SOAP", version=2, versions={("dtype", "float64"): 1}, in_recipes=True)
class SOAP(MixesSpecies):
    r"""Smooth overlap of atomic positions: rotation-invariant power spectrum of the density around a centre.

    Each atom within reach of a centre carries a Gaussian; the density of each species is expanded in radial
    functions and spherical harmonics, :math:`c_{nlm}^Z`, and the features are

    .. math:: p_{nn'l}^{ZZ'} = \pi \sqrt{8 / (2 l + 1)} \sum_m c_{nlm}^Z c_{n'lm}^{Z'}.

    Parameters
    ----------
    r_cut : float, optional
        Cutoff of the radial basis in Å; above 1 for ``rbf="gto"``. May be left out where ``weighting`` implies it.
    n_max : int
        Number of radial functions.
    l_max : int
        Largest degree of the spherical harmonics.
    sigma : float
        Standard deviation of the Gaussians in Å.
    rbf : {"gto", "polynomial"}
        Radial basis: Gaussian-type orbitals, or polynomials that vanish at ``r_cut``.
    weighting : dict, optional
        Weight of the neighbours as a function of their distance r, x = r / r0. ``function`` is one of

        - ``"poly"``: c (1 + 2 x^3 - 3 x^2)^m, zero beyond r0 (Caro 2019);
        - ``"pow"``: c / (d + x^m) (Willatt 2018);
        - ``"exp_decay"``: c / (d + exp(x));
        - ``"exp"``: c / (d + exp(-x)), which *grows* with the distance; kept for compatibility, with a warning.

        The other entries are the parameters ``r0``, ``m`` (both required where they occur), ``c`` and ``d``
        (1 by default). ``w0`` is the weight of an atom on the centre itself, with or without a function. Without
        ``r_cut``, the cutoff is r0 for "poly", and else where the weight has decayed to ``threshold`` (0.01).
    average : {"off", "inner", "outer"}
        Average over the centres of a structure: none, of the coefficients c, or of the power spectra p.
    compression : str or dict
        Mode, or a dict with ``mode`` and ``species_weighting`` (a weight for each species):

        - ``"off"``: all pairs of species;
        - ``"crossover"``: each species with itself only;
        - ``"mu1nu1"``: each species with the sum over all (Darby 2022), all n and n';
        - ``"mu2"``: one density of all atoms, each with the weight of its species (Darby 2022).
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur. Left out, they are learnt in ``fit``.
    periodic : "auto" or bool
        Whether to respect the periodic boundary conditions (``pbc``) of the structures. True: each is as periodic as it
        says, along each lattice vector, and must have a cell. False: cells are ignored. "auto": as True, but structures
        without a cell are molecules; ``fit`` learns False if none of its structures repeats along any vector, and from
        then on cells are ignored, with a warning where structures repeat.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of computation and result. In float32 features have errors of up to 2e-6 of the largest of their row
        (most 4e-7), which depend on the orientation, and derivatives of about 1e-6 of the largest. Where features are
        divided by their standard deviation, as those of ideal crystals in front of linear models, small ones show it:
        there float64 is the choice, or float64 rounded once to a float32 ``out`` of :meth:`create`.
        So do "std" and covariance poolings, with up to 5e-3 of the largest.
    species_embedding : array of shape (n_species, n_channels), or an embedding, optional
        Mixes the densities of the species (ascending by atomic number) into channels,
        :math:`c^k = \sum_Z W_{Zk} c^Z`, which then take the place of the species (Willatt 2018; Darby 2023). The
        identity gives plain SOAP, a single column of weights gives "mu2". An embedding is an ElementEmbedding,
        PropertyChannels, or a LearnedEmbedding, which is fitted with SOAP where ``fit`` is given targets, and must have
        been fitted before where it is not.
    cutoff_width : float, optional
        Without it, neighbours count up to r_cut + 3.717 sigma and are then dropped, as in DScribe. With it, their
        weight goes smoothly to zero as a cosine between r_cut - cutoff_width and r_cut (in Å), and nothing beyond
        r_cut counts, so that features and their derivatives are continuous: the choice for potentials.
    centers : callable or list, optional
        Default for the ``centers`` of :meth:`create`, such as a :class:`~atomprint.sampling.CenterSampler`.
    pooling : str, tuple or Pooling, optional
        How to make one row for each structure out of the rows of its centres; see :mod:`atomprint.pooling.pooling`.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Numbers agree with DScribe 2.1.2 where that is right. The order of the features is: species pair (Z ascending,
    Z' >= Z), l, n, n' (n' >= n for Z = Z'). With L = l_max + 1, S species or channels and n = n_max there are
    S n (S n + 1) / 2 L features ("off"), S n (n + 1) / 2 L ("crossover"), n^2 S L ("mu1nu1") and n (n + 1) / 2 L
    ("mu2").

    Terms that symmetry forbids are exact zeros: so is what is below 2^-44 (6e-14; 2^-22, 2e-7, in float32) of the
    largest of the same pair of species or, pooled with weights of both signs, 2^-44 (float32: 2^-18, 4e-6) of what was
    added up.

    Derivatives exist in every combination, by positions and by strain. Features have none, strictly, where an atom
    passes the hard edge without ``cutoff_width``, and where an atom on a fixed centre (``attach=False``) would leave
    it with a weight other than ``w0`` or with a cusp, as "exp", "exp_decay" and "pow" with m <= 1 have it: there the
    derivatives are those at fixed weight of this atom, and with the set of neighbours as it is.

    References
    ----------
    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), eqs. 23-36; Himanen et al., Comput. Phys. Commun.
    247, 106949 (2020); Caro, Phys. Rev. B 100, 024112 (2019); Willatt, Musil and Ceriotti, Phys. Chem. Chem. Phys.
    20, 29661 (2018); Darby, Kermode and Csányi, npj Comput. Mater. 8, 166 (2022); Darby et al., Phys. Rev. Lett.
    131, 028001 (2023).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import SOAP
    >>> soap = SOAP(species=["H", "O"], r_cut=5.0, n_max=8, l_max=6)
    >>> soap.create(molecule("H2O")).shape
    (3, 952)
    """

    _pools = ("_compute", "_vjp", "_jacobian", "_pairs")

    def __init__(
        self,
        r_cut: float | None = None,
        n_max: int = 8,
        l_max: int = 6,
        sigma: float = 1.0,
        rbf: str = "gto",
        weighting: Mapping[str, Any] | None = None,
        average: str = "off",
        compression: str | Mapping[str, Any] = "off",
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: str = "float64",
        species_embedding: Any = None,
        cutoff_width: float | None = None,
        centers: Any = None,
        pooling: str | tuple[str, ...] | Pooling | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    # -----------------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        super()._validate()
        check_integer("n_max", self.n_max, 1, 64)
        check_integer("l_max", self.l_max, 0, 40)
        sigma = check_length("sigma", self.sigma)
        check_choice("rbf", self.rbf, ("gto", "polynomial"))
        check_choice("average", self.average, _AVERAGES)
        r_cut = self._cutoff()
        if self.rbf == "gto" and r_cut <= 1:
            raise ValueError(f"r_cut must be > 1 for rbf='gto', got {r_cut:g}")
        if self.cutoff_width is not None:
            width = check_real("cutoff_width", self.cutoff_width, above=0)
            if width > r_cut:
                raise ValueError(f"cutoff_width must be <= r_cut = {r_cut:g}, got {width:g}")
        mode, species_weights = self._compression()
        w = _weighting(self.weighting)
        weight = replace(w, w0=None).core()
        for r in (0.0, self._reach()):
            if w.w0 is None or r > 0:
                check_real(f"weighting: the weight at r = {r:g}", weight(r), at_least=0)
        if self.species is not None:
            species = check_species(self.species)
            _weights_of(species, species_weights)
            if not isinstance(self.species_embedding, LearnedEmbedding):
                self._weights(species)
        if self.species_embedding is not None and mode == "mu2":
            raise ValueError("species_embedding and compression 'mu2' cannot be combined: 'mu2' is one channel")
        if self.average != "off" and self.pooling is not None:
            raise ValueError(
                f"average={self.average!r} and pooling={self.pooling!r} cannot be combined: both make one row for "
                "each structure"
            )
        # The basis is built here, so that an unstable one is reported at once; it is cached for later.
        _table(self.rbf, int(self.n_max), int(self.l_max), r_cut, sigma, self._reach(), str(np.dtype(self.dtype)))

    def _cutoff(self) -> float:
        """Return r_cut, given or implied by the weighting."""
        if self.r_cut is not None:
            return check_length("r_cut", self.r_cut)
        w = _weighting(self.weighting)
        if w.kind == "none":
            raise ValueError("r_cut must be given, unless a weighting function implies it, got None")
        if w.kind == "poly":
            return w.r0
        left = w.c / w.threshold - w.d
        with np.errstate(all="ignore"):
            # "exp" as in DScribe, which takes its function for a decaying one here.
            decayed = np.log(left) if w.kind != "pow" else np.float64(left) ** (1 / np.float64(w.m))
            r_cut = float(w.r0 * decayed)
        if not 0 < r_cut < np.inf:
            raise ValueError(
                f"weighting must decay to threshold={w.threshold:g} at some distance to imply r_cut, got "
                f"{dict(self.weighting or {})!r}"
            )
        return r_cut

    def _reach(self) -> float:
        """Return the distance up to which neighbours count, in Å."""
        r_cut = self._cutoff()
        return r_cut if self.cutoff_width is not None else r_cut + _REACH_IN_SIGMA * float(self.sigma)

    def _compression(self) -> tuple[str, dict[int, float] | None]:
        """Return the mode, and the weights of elements by atomic number."""
        given = self.compression
        if isinstance(given, str):
            return check_choice("compression", given, _MODES), None
        if not isinstance(given, Mapping):
            raise TypeError(f"compression must be a mode or a dict with 'mode' and 'species_weighting', got {given!r}")
        check_keys("compression", given, ["mode"], ["species_weighting"])
        weights = given.get("species_weighting")
        if weights is not None:
            weights = check_of_elements("compression: species_weighting", weights)
        return check_choice("compression: mode", given["mode"], _MODES), weights

    def _weights(self, species: tuple[int, ...]) -> FloatArray:
        """Return the (n_species, n_channels) mixing matrix; without columns where species are not mixed."""
        mixing = self._mixing(species)
        if mixing is None:
            return np.ones((len(species), 1 if self._compression()[0] == "mu2" else 0))
        return mixing

    def _n_channels(self) -> int:
        species = self._species()
        if self.species_embedding is None:
            return 1 if self._compression()[0] == "mu2" else len(species)
        return int(self._weights(species).shape[1])

    def _n_features(self) -> int:
        n, channels, degrees = int(self.n_max), self._n_channels(), int(self.l_max) + 1
        mode = self._compression()[0]
        if mode == "mu1nu1":
            return n * n * channels * degrees
        if mode == "crossover":
            return channels * n * (n + 1) // 2 * degrees
        return channels * n * (channels * n + 1) // 2 * degrees

    def _layout(self) -> Layout:
        mode = self._compression()[0]
        if self.species_embedding is not None:
            names = self._mixed_names(self._species(), self._n_channels())
        else:
            names = symbols_of(self._species())
        if mode == "mu2":
            keys: list[tuple[str, ...]] = [("all",)]
        elif mode == "mu1nu1":
            keys = [(name, "all") for name in names]
        elif mode == "crossover":
            keys = [(name, name) for name in names]
        else:
            keys = list(pair_keys(names))
        n_max, degrees = int(self.n_max), range(int(self.l_max) + 1)
        l, n, m = (index.ravel() for index in np.indices((len(degrees), n_max, n_max)))
        numbers = range(1, n_max + 1)
        radial, angular = [f"n = {k}" for k in numbers], [f"l = {k}" for k in degrees]
        full, half = (
            (
                Axis("radial channels", [f"n={k}" for k in numbers], radial, n[kept]),
                Axis("radial channels", [f"n'={k}" for k in numbers], radial, m[kept]),
                Axis("angular channels", [f"l={k}" for k in degrees], angular, l[kept]),
            )
            for kept in (slice(None), m >= n)
        )
        return Layout("SOAP", [Block(key, half if mode == "mu2" or key[0] == key[-1] else full) for key in keys])

    def get_location(self, species: Any) -> slice:
        """Return where the features of a pair of species are.

        Parameters
        ----------
        species : pair of str or int
            Two chemical symbols or atomic numbers, in any order. With "crossover" both must be the same; so too with
            "mu1nu1", where the products of a species with the sum over all are meant. With "mu2", which has no
            species, every pair means all features.

        Returns
        -------
        slice
            Into the features of a row.

        Raises
        ------
        ValueError
            If there are no features for this combination.
        """
        mode = self._compression()[0]
        if self.species_embedding is not None:
            raise ValueError("get_location: features belong to channels, not to species, with species_embedding")
        if isinstance(species, str) or not isinstance(species, Sequence) or len(species) != 2:
            raise ValueError(f"species must be a pair of chemical symbols or atomic numbers, got {species!r}")
        pair = symbols_of([z for s in species for z in check_species([s])])
        if mode == "off":
            return self._layout().location(pair)
        known = symbols_of(self._species())
        if not set(pair) <= set(known) or (mode != "mu2" and pair[0] != pair[1]):
            raise ValueError(
                f"species: no features for {'-'.join(pair)} with compression {mode!r} of {', '.join(known)}"
            )
        return {
            "mu2": lambda: slice(0, self._n_features()),
            "crossover": lambda: self._layout().location(pair),
            "mu1nu1": lambda: self._layout().location((pair[0], "all")),
        }[mode]()

    def _averages(self) -> bool:
        return self.average == "inner"

    def _reduction(self) -> Pooling | None:
        return _MEAN if self.average == "outer" else self._pooling()

    def _cancelling(self) -> npt.NDArray[np.int64]:
        n, channels, mode = int(self.n_max), self._n_channels(), self._compression()[0]
        a, b = np.triu_indices(channels) if mode == "off" else np.tile(np.arange(channels), (2, 1))
        sizes = np.where((a == b) & (mode != "mu1nu1"), n * (n + 1) // 2, n * n)
        return offsets_of(sizes * (int(self.l_max) + 1))

    def _options(self, batch: Batch) -> None:
        if self.weighting is not None and self.weighting.get("function") == "exp":
            rule = "SOAP weighting 'exp' grows with the distance; use 'exp_decay' for a function that decays"
            warnings.warn(rule, UserWarning, stacklevel=4)

    @property
    def _has_gaps(self) -> bool:  # type: ignore[override]
        """Whether species have blocks of features of their own."""
        return self.species_embedding is None and self._compression()[0] != "mu2"

    def _calculator(self, species: tuple[int, ...] | None = None) -> Any:
        """Return the compiled calculator, from the cache if these parameters have been used before.

        Parameters
        ----------
        species : tuple of int, optional
            Atomic numbers of some of the species, where they are not embedded. Default: all.
        """
        species = self._species() if species is None else species
        mode, species_weights = self._compression()
        weighting = _weighting(self.weighting)
        embedding = self._weights(species)
        return _calculator(
            self.rbf,
            int(self.n_max),
            int(self.l_max),
            self._cutoff(),
            float(self.sigma),
            self._reach(),
            str(np.dtype(self.dtype)),
            species,
            _weights_of(species, species_weights),
            embedding.shape,
            embedding.tobytes(),
            _PRODUCTS[mode],
            weighting,
            None if self.cutoff_width is None else float(self.cutoff_width),
            self._averages(),
        )

    def _pairs(self, call: Call) -> Sequence[PairBlock]:
        """Return the derivatives by pairs, without the features of species that a structure does not have."""
        batch, species = call.batch, call.prepared.species
        if self.species_embedding is not None or self._compression()[0] == "mu2":
            return super()._pairs(call)
        present = np.zeros((len(batch), len(species)), dtype=bool)
        present[owners(batch.offsets), call.species] = True
        blocks = []
        for members in np.unique(present, axis=0):
            structures = np.flatnonzero((present == members).all(axis=1))
            part = batch.pick(structures)
            own = tuple(z for z, there in zip(species, members, strict=True) if there)
            plan = call.plan.pick(structures) if isinstance(call.plan, PoolingPlan) else None
            these = replace(call, batch=part, centers=call.centers.pick(structures), plan=plan)
            try:
                found = compiled_pairs(self._calculator(own), these, own)
            except StructureError as error:
                error.index = int(structures[error.index])
                raise
            columns = self._columns(members)
            blocks += [
                block.with_parts(features=columns[block.features], structures=structures[block.structures])
                for block in found
            ]
        return blocks

    def _columns(self, members: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the features of some of the species alone among the features of all."""
        n, mode = int(self.n_max), self._compression()[0]
        square, triangle = n * n, n * (n + 1) // 2
        if mode == "off":
            a, b = np.triu_indices(len(members))
            sizes, kept = np.where(a == b, triangle, square), members[a] & members[b]
        else:
            sizes, kept = np.full(len(members), square if mode == "mu1nu1" else triangle), members
        return np.flatnonzero(np.repeat(kept, sizes * (int(self.l_max) + 1)))


@dataclass(frozen=True)
class _Weighting:
    """A checked weighting; ``kind`` "none" leaves only w0."""

    kind: str = "none"
    c: float = 1.0
    d: float = 1.0
    m: float = 1.0
    r0: float = 1.0
    threshold: float = 1e-2
    w0: float | None = None

    def core(self, fade: tuple[float, float] | None = None) -> _core.Weighting:
        """Return the function itself; ``fade`` is where a cosine begins to take it to zero, and has done so."""
        kind = _core.Weighting.Kind[self.kind]
        return _core.Weighting(kind=kind, c=self.c, d=self.d, m=self.m, r0=self.r0, own=self.w0, fade=fade)


def _weighting(given: Any) -> _Weighting:
    if given is None:
        return _Weighting()
    if not isinstance(given, Mapping):
        raise TypeError(f"weighting must be None or a dict, got {given!r}")
    w0 = None if given.get("w0") is None else check_real("weighting: w0", given["w0"], at_least=0)
    function = given.get("function")
    if function is None:
        if w0 is None or set(given) - {"w0", "function"}:
            hint = "" if "function" in given else meant(next(iter(given), ""), ("function",))
            raise ValueError(f"weighting must have a 'function' or only 'w0', got {dict(given)!r}{hint}")
        return _Weighting(w0=w0)
    check_choice("weighting: function", function, tuple(_WEIGHTINGS))
    required, optional = _WEIGHTINGS[function]
    parameters = {key: value for key, value in given.items() if key != "function"}
    check_keys(f"weighting: {function!r}", parameters, required, [*optional, "w0"])
    rules: dict[str, dict[str, float]] = {
        "r0": {"above": 0},
        "m": {"at_least": 0},
        "c": {"at_least": 0},
        "d": {"at_least": 0},
        "threshold": {"above": 0},
    }
    values = {
        name: check_real(f"weighting: {name}", given.get(name, optional.get(name)), **rules[name])
        for name in (*required, *optional)
    }
    return _Weighting(kind=function, w0=w0, **values)


def _weights_of(species: tuple[int, ...], given: Mapping[int, float] | None) -> tuple[float, ...]:
    """Return one weight for each species, from those of elements by atomic number."""
    if given is None:
        return (1.0,) * len(species)
    missing = [chemical_symbols[z] for z in species if z not in given]
    if missing:
        raise ValueError(f"compression: species_weighting must have a weight for every species, none for {missing}")
    weights = tuple(given[z] for z in species)
    if max(map(abs, weights)) > LARGEST_WEIGHT:
        raise ValueError(f"compression: species_weighting must be at most {LARGEST_WEIGHT:g}, got {weights}")
    return weights


def _table(rbf: str, n_max: int, l_max: int, r_cut: float, sigma: float, reach: float, dtype: str) -> Any:
    return radial_table(rbf, n_max, l_max, r_cut, sigma, reach, TABLE_ERROR[dtype])


@lru_cache(maxsize=16)
def _zones(rbf: str, n_max: int, l_max: int, r_cut: float, sigma: float, reach: float, dtype: str) -> Zones:
    return zones(_table(rbf, n_max, l_max, r_cut, sigma, reach, dtype), TABLE_ERROR[dtype])


@lru_cache(maxsize=64)
def _calculator(
    rbf: str,
    n_max: int,
    l_max: int,
    r_cut: float,
    sigma: float,
    reach: float,
    dtype: str,
    species: tuple[int, ...],
    species_weights: tuple[float, ...],
    embedding_shape: tuple[int, int],
    embedding: bytes,
    products: _core.SoapParameters.Products,
    weighting: _Weighting,
    cutoff_width: float | None,
    averages: bool,
) -> Any:
    """Return the compiled calculator: immutable, shared by all descriptors with these parameters."""
    table = _table(rbf, n_max, l_max, r_cut, sigma, reach, dtype)
    zoned = _zones(rbf, n_max, l_max, r_cut, sigma, reach, dtype)
    mixing = np.frombuffer(embedding).reshape(embedding_shape)
    parameters = _core.SoapParameters(
        n_max=n_max,
        l_max=l_max,
        species=species,
        cutoff=reach,
        weighting=weighting.core(None if cutoff_width is None else (r_cut - cutoff_width, r_cut)),
        species_weights=species_weights,
        embedding=mixing if mixing.size else None,
        products=products,
        averages=averages,
    )
    build = _core.Soap64 if dtype == "float64" else _core.Soap32
    return build(parameters, table, zoned.short_table, zoned.basis, zoned.of_cell)

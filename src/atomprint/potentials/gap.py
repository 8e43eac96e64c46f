"""Sparse Gaussian processes on SOAP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.descriptors import SOAP
from atomprint.potentials.base import Potential
from atomprint.potentials.fit import References
from atomprint.potentials.fitting.solver import Solver
from atomprint.potentials.terms.compiled import CompiledPredictor, check_species_known
from atomprint.potentials.terms.cutoff import typical_cutoff
from atomprint.potentials.terms.sparse_points import SELECTIONS, choose_points
from atomprint.potentials.terms.term import Predictor, State, Term, Training
from atomprint.potentials.terms.two_body import PairKernel
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_choice, check_integer, check_length, check_real

_TAIL = 1e-11
"""Which part of the squared length of features may be left out by taking them to fewer components."""

_JITTER = 1e-8
"""Added to the kernel of a sparse point with itself, which is 1: far above what rounding makes of a kernel, and far
below what data are known to."""

_CANDIDATE_BYTES = 128 * 2**20
_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """The sparse points of one species.

    Parameters
    ----------
    basis : ndarray, shape (n_features, n_components)
        Orthonormal columns, in which the normalised features of all environments lie but for ``_TAIL``.
    points : ndarray, shape (n_points, n_components)
        Normalised features of the sparse points in this basis.
    """

    basis: FloatArray
    points: FloatArray


@public("SparseGP", version=1)
class SparseGP(Potential):
    r"""A Gaussian process of the energies of atoms on SOAP, with sparse points (a Gaussian approximation potential).

    The energy of an atom is a sum over sparse points, environments of atoms of its species in the training set, of
    coefficients times the kernel (x.x')^zeta, where x is the normalised power spectrum.

    Parameters
    ----------
    r_cut : float, optional
        Cutoff in Å. Default: such that about 35 neighbours are within it, 26 of several species, from 3.5 to 6.5 Å;
        4.5 Å for molecules, 7 Å for groups of molecules or of atoms without bonds.
    soap : SOAP, optional
        The power spectrum, in place of ``r_cut``: of all atoms, without pooling or averages, with ``cutoff_width``.
        Default: ``SOAP(r_cut, n_max=8, l_max=6, sigma=0.5, cutoff_width=0.65 * r_cut)``, of several species with
        ``n_max=6, l_max=5``, which by cross-validation on InP and ethanol is as good at half of the time, and of more
        than three with ``compression="mu1nu1"``.
        The cosine of ``cutoff_width`` leaves a step in the second derivative at the cutoff. With
        ``weighting={"function": "poly", "r0": r_cut, "m": 0.5}`` besides there is none, at the same cost: errors of
        energies then were 6 to 17 % larger by cross-validation on Si, Li and Cu, those of forces between 2 % smaller
        and 8 % larger. With ``m`` of 2 in place of the cosine, energies have three continuous derivatives.
    zeta : float
        Exponent of the kernel, at least 1. With 1 and 2 predictions take no more time where there are more points.
    n_sparse : int, optional
        Sparse points of each species. Default: 1000 for one, and for n species 1000 / sqrt(n).
    selection : {"cur", "farthest", "random"}
        How sparse points are chosen: drawn by leverage, each the farthest from those before, or drawn at random.
    two_body : bool
        Whether there is an energy of pairs besides, a Gaussian process of the distance for each pair of species.
    dtype : {"float64", "float32"}
        Precision of the power spectrum in predictions; all else is in double precision. With "float32" they take 10 %
        less time, and energies of atoms differ by about 1e-6 eV, forces by 1e-6 eV/Å.
    repulsion, references, solver, n_jobs
        As for :class:`~atomprint.potentials.Potential`. The prior of the coefficients is the kernel between the sparse
        points; ``regularisation`` is the inverse of the standard deviation of the energy of an atom in eV.

    Notes
    -----
    The coefficients c minimise :math:`|S^{-1} (K c - y)|^2 + \mathrm{regularisation}^2\, c^T K_{MM} c` with the kernel
    :math:`K_{MM}` between the sparse points, as a whole by QR, with 1e-8 added to its diagonal.

    Expected errors are those of the triangle of the fit, scaled to the errors of left-out structures. The part of the
    kernel of an atom with itself that the sparse points do not hold, k(x,x) - k^T K_MM^-1 k, is not added: on silicon
    the errors of structures that were held out follow the former better (rank correlation 0.83, with it 0.76). Far from
    all sparse points they grow all the same, as no kernel between atoms of one species vanishes.

    References
    ----------
    A. P. Bartók, M. C. Payne, R. Kondor and G. Csányi, Phys. Rev. Lett. 104, 136403 (2010); A. P. Bartók and G. Csányi,
    Int. J. Quantum Chem. 115, 1051 (2015); V. L. Deringer et al., Chem. Rev. 121, 10073 (2021).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from atomprint.potentials import SparseGP
    >>> crystals = []
    >>> for k in range(12):
    ...     atoms = bulk("Cu", cubic=True, a=3.5 + 0.02 * k)
    ...     atoms.rattle(0.05, seed=k)
    ...     atoms.calc = EMT()
    ...     atoms.info["energy"] = atoms.get_potential_energy()
    ...     atoms.arrays["forces"], atoms.info["stress"] = atoms.get_forces(), atoms.get_stress()
    ...     crystals.append(atoms)
    >>> potential = SparseGP(n_sparse=20).fit(crystals[::2])
    >>> found = potential.predict(crystals[1], uncertainty=True)
    >>> bool(abs(found.energies - crystals[1].info["energy"]) < 3 * found.energies_std)
    True
    """

    def __init__(
        self,
        r_cut: float | None = None,
        *,
        soap: SOAP | None = None,
        zeta: float = 4.0,
        n_sparse: int | None = None,
        selection: str = "cur",
        two_body: bool = False,
        dtype: str = "float64",
        repulsion: bool = True,
        references: References = None,
        solver: Solver | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_real("zeta", self.zeta, at_least=1)
        check_choice("selection", self.selection, SELECTIONS)
        check_choice("dtype", self.dtype, ("float64", "float32"))
        check_bool("two_body", self.two_body)
        if self.n_sparse is not None:
            check_integer("n_sparse", self.n_sparse, 1)
        if self.r_cut is not None:
            check_length("r_cut", self.r_cut)
        if self.soap is None:
            return
        if not isinstance(self.soap, SOAP):
            raise TypeError(f"soap must be a SOAP or None, got {type(self.soap).__name__}")
        if self.r_cut is not None:
            raise ValueError(
                f"r_cut and soap cannot be combined: soap has a cutoff of its own, got r_cut={self.r_cut!r}"
            )
        for name, needed in _PLAIN.items():
            value = getattr(self.soap, name)
            if value is not None if needed is None else value != needed:
                raise ValueError(f"soap: {name} must be {needed!r} for a SparseGP, got {value!r}")
        if self.soap.cutoff_width is None and not _fades(self.soap):
            raise ValueError("soap must have cutoff_width: without it energies jump where an atom passes the cutoff")

    def _terms(self) -> list[Term]:
        own = SoapKernel(self.soap, self.r_cut, self.zeta, self.n_sparse, self.selection, self.dtype)
        reach = self.r_cut if self.soap is None else self.soap._reach()
        return [own, PairKernel(reach)] if self.two_body else [own]


_PLAIN = {"average": "off", "pooling": None, "centers": None, "sparse": False, "species_embedding": None}


def _fades(soap: SOAP) -> bool:
    """Return whether a weighting takes neighbours to zero within the cutoff."""
    weighting = soap.weighting or {}
    return weighting.get("function") == "poly" and weighting["r0"] <= soap._reach() and weighting["m"] >= 1


@dataclass(frozen=True)
class SoapKernel:
    """A part of the energy: a sparse Gaussian process with the kernel (x.x')^zeta between atoms of one species.

    It is not switched off where atoms are nearer than in the training set: normalised features are bounded there, and
    so is the energy that a core adds to.

    Parameters
    ----------
    soap, r_cut, zeta, n_sparse, selection, dtype
        As for :class:`SparseGP`.
    """

    soap: SOAP | None = None
    r_cut: float | None = None
    zeta: float = 4.0
    n_sparse: int | None = None
    selection: str = "cur"
    dtype: str = "float64"

    def prepare(self, training: Training) -> PreparedSoapKernel:
        """Choose the sparse points."""
        species = training.species
        soap = self.soap
        if soap is None:
            one = len(species) == 1
            given = self.r_cut
            r_cut = typical_cutoff(training.structures, 35 if one else 26) if given is None else float(given)
            compression = "off" if len(species) <= 3 else "mu1nu1"
            n_max, l_max = (8, 6) if one else (6, 5)
            soap = SOAP(r_cut, n_max, l_max, sigma=0.5, compression=compression, cutoff_width=0.65 * r_cut)
        soap = _for_species(soap, species)
        n = round(1000 / np.sqrt(len(species))) if self.n_sparse is None else int(self.n_sparse)
        rng = np.random.default_rng(training.random_state)
        features = _Features(soap)
        chosen = {z: _sparse_points(features, training, z, n, self.selection, rng) for z in species}
        return PreparedSoapKernel(soap, float(self.zeta), species, chosen, self.dtype)


def _for_species(soap: SOAP, species: tuple[int, ...]) -> SOAP:
    """Return the SOAP of these species in double precision, with parameters that a file can hold."""
    parameters = soap.get_params() | {"species": list(species), "dtype": "float64"}
    if isinstance(compression := parameters["compression"], Mapping):
        mode, weights = soap._compression()
        parameters["compression"] = dict(compression) | {"mode": mode}
        if weights is not None:
            parameters["compression"]["species_weighting"] = {chemical_symbols[z]: w for z, w in weights.items()}
    made = SOAP(**parameters)
    made._validate()
    return made


class _Features:
    """Normalised weighted features of atoms."""

    def __init__(self, soap: SOAP) -> None:
        self.soap = soap
        self.calculator = soap._calculator()
        self.weights = feature_weights(soap)
        species = soap._species()
        nothing = np.zeros((0, len(self.weights)))
        self._model = _core.Gap64(
            self.calculator, self.weights, 1.0, [_core.SparsePoints(points=nothing) for _ in species]
        )

    def __call__(self, batch: Batch, n_jobs: int = 1) -> FloatArray:
        out = np.empty((len(batch.numbers), len(self.weights)))
        self._model.features(batch.core(), out, n_jobs)
        return out

    def pieces(self, batch: Batch) -> list[Batch]:
        """Return runs of structures whose features fit into little memory."""
        most = max(1, _PIECE_BYTES // (8 * len(self.weights)))
        found, start = [], 0
        while start < len(batch):
            stop = int(np.searchsorted(batch.offsets, batch.offsets[start] + most, side="right")) - 1
            stop = max(stop, start + 1)
            found.append(batch[start:stop])
            start = stop
        return found


def feature_weights(soap: SOAP) -> FloatArray:
    """Return by what to multiply features, so that products that occur twice in a power spectrum count twice."""
    mode, n = soap._compression()[0], int(soap.n_max)
    weights = []
    for block in soap._layout().blocks:
        same = mode == "mu2" or block.key[0] == block.key[-1]
        first, second = np.triu_indices(n) if same else np.divmod(np.arange(n * n), n)
        twice = (first != second) if same else np.full(n * n, mode != "mu1nu1")
        weights.append(np.tile(np.where(twice, np.sqrt(2.0), 1.0), int(soap.l_max) + 1))
    return np.concatenate(weights)


def _sparse_points(
    features: _Features, training: Training, z: int, n: int, selection: str, rng: np.random.Generator
) -> SparsePoints:
    batch = training.structures
    atoms = np.flatnonzero(batch.numbers == z)
    most = max(2 * n, _CANDIDATE_BYTES // (8 * len(features.weights)))
    if len(atoms) > most:
        atoms = np.sort(rng.choice(atoms, most, replace=False))
    candidates = np.empty((len(atoms), len(features.weights)))
    done = first = 0
    for piece in features.pieces(batch):
        last = first + len(piece.numbers)
        own = atoms[done : np.searchsorted(atoms, last)]
        if len(own):
            candidates[done : done + len(own)] = features(piece, training.n_jobs)[own - first]
        done, first = done + len(own), last
    basis = _basis(candidates)
    points = candidates @ basis
    return SparsePoints(basis, points[choose_points(points, n, selection, rng)])


def _basis(features: FloatArray) -> FloatArray:
    """Return orthonormal columns in which the rows lie but for ``_TAIL`` of their squared lengths."""
    n, n_features = features.shape
    values, vectors = np.linalg.eigh(features.T @ features if n_features <= n else features @ features.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    left = values.clip(0.0).sum() - np.cumsum(values.clip(0.0))
    count = int(np.argmax(left <= _TAIL * values.clip(0.0).sum())) + 1
    if n_features > n:
        vectors = np.linalg.qr(features.T @ vectors[:, :count])[0]
    return np.ascontiguousarray(vectors[:, :count])


@public("PreparedSoapKernel", version=1)
class PreparedSoapKernel:
    """:class:`SoapKernel` with its sparse points. A function is the sum of the kernels of all atoms with one of them.

    Parameters
    ----------
    soap : SOAP
        With its species.
    zeta : float
        Exponent of the kernel.
    species : tuple of int
        Atomic numbers, ascending.
    sparse : dict of int to SparsePoints
        The sparse points by atomic number.
    dtype : {"float64", "float32"}
        Precision of predictions.
    """

    def __init__(
        self,
        soap: SOAP,
        zeta: float,
        species: tuple[int, ...],
        sparse: Mapping[int, SparsePoints],
        dtype: str = "float64",
    ) -> None:
        self.soap, self.zeta, self.species, self.sparse, self.dtype = soap, zeta, species, sparse, dtype
        self.n_functions = sum(len(own.points) for own in sparse.values())
        self.cutoff = float(soap._reach())
        self.degrees = np.zeros(self.n_functions)  # the kernel says what is smooth
        self._features = _Features(soap)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is compiled is made anew.
        return PreparedSoapKernel, (self.soap, self.zeta, self.species, self.sparse, self.dtype)

    @cached_property
    def prior_factor(self) -> FloatArray:
        """Transposed Cholesky factors of the kernels between the sparse points of each species."""
        factor, first = np.zeros((self.n_functions, self.n_functions)), 0
        for own in self.sparse.values():
            kernel = _power(own.points @ own.points.T, self.zeta)
            kernel[np.diag_indices(len(kernel))] += _JITTER
            last = first + len(kernel)
            factor[first:last, first:last] = np.linalg.cholesky(kernel).T
            first = last
        return factor

    @cached_property
    def _model(self) -> Any:
        points = [self._arrays(own) for own in self.sparse.values()]
        return _core.Gap64(self._features.calculator, self._features.weights, self.zeta, points)

    def _arrays(self, own: SparsePoints, coefficients: FloatArray | None = None) -> Any:
        """Return the points in the form that takes least work."""
        n_features, n_components = own.basis.shape
        n = len(own.points)
        reduced = n_components * (n_features + n) < n_features * n
        points = own.points if reduced else own.points @ own.basis.T
        basis = own.basis if reduced else None
        if coefficients is not None and self.zeta == 1:
            points, basis = (coefficients @ own.points @ own.basis.T)[np.newaxis], None
            coefficients = np.ones(1)
        elif coefficients is not None and self.zeta == 2:
            form = own.points.T @ (coefficients[:, np.newaxis] * own.points)
            work = 2 * n_features * n_components + n_components**2, n_features**2, 2 * n_components * (n_features + n)
            if min(work) == work[1]:
                form = own.basis @ form @ own.basis.T
            if min(work) < work[2] or n == 0:
                basis = None if min(work) == work[1] else own.basis
                none = np.zeros((0, len(form)))
                return _core.SparsePoints(
                    points=none, basis=basis, coefficients=np.zeros(0), form=np.ascontiguousarray(form)
                )
        return _core.SparsePoints(points=np.ascontiguousarray(points), basis=basis, coefficients=coefficients)

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to energies, forces and strain derivatives."""
        check_species_known(batch, self.species)
        self._model.rows(batch.core(), out, n_jobs)

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the sum of each function over the atoms of each structure."""
        check_species_known(batch, self.species)
        done = 0
        for piece in self._features.pieces(batch):
            x = self._features(piece, n_jobs)
            first = 0
            for z, own in self.sparse.items():
                kernel = _power((x[piece.numbers == z] @ own.basis) @ own.points.T, self.zeta)
                of_structure = np.repeat(np.arange(len(piece)), piece.n_atoms)[piece.numbers == z]
                sums = np.zeros((len(piece), len(own.points)))
                np.add.at(sums, of_structure, kernel)
                out[done : done + len(piece), first : first + len(own.points)] = sums
                first += len(own.points)
            done += len(piece)

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write each function of each atom."""
        check_species_known(batch, self.species)
        out[:] = 0
        done = 0
        for piece in self._features.pieces(batch):
            x = self._features(piece, n_jobs)
            first = 0
            for z, own in self.sparse.items():
                of_species = np.flatnonzero(piece.numbers == z)
                kernel = _power((x[of_species] @ own.basis) @ own.points.T, self.zeta)
                out[done + of_species, first : first + len(own.points)] = kernel
                first += len(own.points)
            done += len(x)

    def predictor(self, coefficients: FloatArray) -> Predictor:
        """Return the part of the energy that has these coefficients."""
        points, first = [], 0
        for own in self.sparse.values():
            points.append(self._arrays(own, np.ascontiguousarray(coefficients[first : first + len(own.points)])))
            first += len(own.points)
        if self.dtype == "float64":
            model: Any = _core.Gap64(self._features.calculator, self._features.weights, self.zeta, points)
        else:
            single = SOAP(**{**self.soap.get_params(), "dtype": "float32"})
            model = _core.Gap32(single._calculator(), self._features.weights, self.zeta, points)
        return CompiledPredictor(model, self.species)

    def state(self) -> State:
        """Return what :meth:`from_state` needs."""
        return {
            "soap": self.soap,
            "zeta": self.zeta,
            "species": list(self.species),
            "dtype": self.dtype,
            "basis": [own.basis for own in self.sparse.values()],
            "points": [own.points for own in self.sparse.values()],
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        species = tuple(int(z) for z in state["species"])
        soap = state["soap"]
        if not isinstance(soap, SOAP) or soap._species() != species:
            raise ValueError("soap must be a SOAP of the species")
        soap._validate()
        n_features = soap.get_number_of_features()
        sparse = {
            z: SparsePoints(basis, points)
            for z, basis, points in zip(species, state["basis"], state["points"], strict=True)
        }
        for own in sparse.values():
            if own.basis.shape[0] != n_features or own.points.shape[1:] != own.basis.shape[1:]:
                raise ValueError(f"sparse points must have a basis of {n_features} features, got {own.basis.shape}")
        return cls(soap, check_real("zeta", state["zeta"], at_least=1), species, sparse, str(state["dtype"]))


def _power(products: FloatArray, zeta: float) -> FloatArray:
    return products**zeta if zeta == int(zeta) else products.clip(0.0) ** zeta

"""Coulomb, sine and Ewald-sum matrices: one row and column for each atom, one vector for each structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.descriptors.engine.contract import Descriptor, Features
from atomprint.descriptors.engine.crystals import OfCrystals
from atomprint.descriptors.engine.evaluator import Evaluator
from atomprint.formats.components import check_names
from atomprint.layout import Axis, Block, Layout
from atomprint.structures import Batch, FloatArray, StructureError, Structures
from atomprint.util.memo import memo_of
from atomprint.util.registry import public
from atomprint.util.sparse import issparse
from atomprint.util.types import Samples
from atomprint.util.validation import check_choice, check_dtype, check_integer, check_real

PerStructure: TypeAlias = float | Sequence[float] | npt.NDArray[Any] | None
"""One number for all structures, or a sequence with one for each; None stands for the constructor's value."""

_PERMUTATIONS = {
    "none": _core.Permutation.none,
    "sorted_l2": _core.Permutation.sorted_l2,
    "eigenspectrum": _core.Permutation.eigenspectrum,
    "random": _core.Permutation.random,
}

_POINTS_LIMIT = 1e7  # more lattice points in a sum are taken for a mistake in the cutoff


@dataclass(frozen=True, slots=True)
class _Options:
    """What differs from structure to structure, sliced together with the batch."""

    noise: FloatArray | None = None
    ewald: FloatArray | None = None

    def __getitem__(self, key: slice) -> _Options:
        return _Options(*(None if rows is None else rows[key] for rows in (self.noise, self.ewald)))


def _check_sizes(batch: Batch, size: int) -> None:
    if len(batch.numbers) > size and (too_many := np.flatnonzero(batch.n_atoms > size)).size:
        s = too_many[0]
        raise StructureError(s, None, f"n_atoms_max must be >= its number of atoms, {batch.n_atoms[s]}, got {size}")


class _MatrixDescriptor(Descriptor):
    """What the three matrix descriptors share: padding, permutation, names and shapes."""

    _kind: ClassVar[_core.MatrixKind]
    _adds_up = False

    def __init__(
        self,
        n_atoms_max: int | None = None,
        permutation: str = "sorted_l2",
        sigma: float | None = None,
        seed: int | None = None,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if self.n_atoms_max is not None:
            check_integer("n_atoms_max", self.n_atoms_max, 1, 2**15)
        check_choice("permutation", self.permutation, _PERMUTATIONS)
        if self.permutation == "random":
            if self.sigma is None:
                raise ValueError("sigma must be given with permutation='random', got None")
            check_real("sigma", self.sigma, above=0.0)
        elif self.sigma is not None:
            raise ValueError(f"sigma must be None with permutation={self.permutation!r}, got {self.sigma!r}")
        if self.seed is not None:
            check_integer("seed", self.seed, 0)

    def _known_size(self) -> int | None:
        return self.n_atoms_max if self.n_atoms_max is not None else getattr(self, "n_atoms_max_", None)

    def _size(self) -> int:
        """Return the number of rows of the padded matrix, given or learnt."""
        size = self._known_size()
        if size is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                f"{type(self).__name__}: n_atoms_max is not known: give it to the constructor or call fit first"
            )
        return int(size)

    def __sklearn_is_fitted__(self) -> bool:
        return self._known_size() is not None

    def _n_features(self) -> int:
        size = self._size()
        return size if self.permutation == "eigenspectrum" else size * size

    def _layout(self) -> Layout:
        size = self._size()
        if self.permutation == "eigenspectrum":
            axes = [Axis("eigenvalues", [f"eigenvalue {i}" for i in range(size)])]
        else:
            places = [(i, j) for i in range(size) for j in range(size)]
            rows, columns = ([f"row {place[k]}" for place in places] for k in (0, 1))
            axes = [
                Axis("rows of the matrix", [f"{i},{j}" for i, j in places], rows),
                Axis("rows of the matrix", [""] * len(places), columns),
            ]
        return Layout(type(self).__name__, [Block((), axes)])

    def _run(self, function: Callable[..., None], batch: Batch, options: _Options, *arguments: Any) -> None:
        """Call a compiled function with what all of them take first."""
        function(self._kind, batch.core(), options.ewald, *arguments)

    def _compute(self, call: Call, out: Array) -> None:
        rule, noise = _PERMUTATIONS[self.permutation], call.options.noise
        self._run(_core.matrix_features, call.batch, call.options, out, self._size(), rule, noise, call.n_threads)

    def _check_differentiable(self) -> None:
        if self.permutation == "random":
            raise ValueError(
                "permutation must not be 'random' for derivatives: the noise makes features jump, got 'random'"
            )

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        rule = _PERMUTATIONS[self.permutation]
        self._run(_core.matrix_vjp, call.batch, call.options, cotangents, *out, self._size(), rule, call.n_threads)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        rule, selection = _PERMUTATIONS[self.permutation], call.selection
        rows = selection.slots, selection.row_offsets
        self._run(_core.matrix_jacobian, call.batch, call.options, *rows, *out, self._size(), rule, call.n_threads)

    def _of_stream(self) -> dict[str, Any]:
        """Return the random numbers, which go on from piece to piece."""
        return {"rng": np.random.default_rng(self.seed)} if self.permutation == "random" else {}

    def _options(self, batch: Batch, rng: np.random.Generator | None = None) -> _Options:
        """Return what the core needs besides the batch, after the last check of it."""
        size = self._size()
        _check_sizes(batch, size)
        if self.permutation != "random":
            return _Options()
        rng = np.random.default_rng(self.seed) if rng is None else rng
        return _Options(noise=rng.normal(scale=check_real("sigma", self.sigma), size=(len(batch), size)))

    def fit(self, X: Structures, y: Any = None) -> Self:
        """Check the parameters, and learn ``n_atoms_max`` from the structures if it was left out.

        Parameters
        ----------
        X : sequence of structures
            Structures as for :meth:`create`.
        y : ignored
            But for the names of a series or table of pandas, which must not be components of vectors.

        Returns
        -------
        self
        """
        check_names(y)
        self._validate()
        given = self.n_atoms_max
        batch = self._read(X)
        self.n_atoms_max_ = int(batch.n_atoms.max()) if given is None else int(given)
        _check_sizes(batch, self.n_atoms_max_)
        return self

    def get_matrix(self, structure: Structures) -> npt.NDArray[Any]:
        """Compute the matrix of one structure, with its atoms in their own order and without padding.

        Parameters
        ----------
        structure : structure
            One structure, as for :meth:`create`.

        Returns
        -------
        ndarray, shape (n_atoms, n_atoms)
        """
        return self._matrix(self._read(structure), _Options())

    def _matrix(self, batch: Batch, options: _Options) -> npt.NDArray[Any]:
        if len(batch) != 1:
            raise ValueError(f"structure must be one structure, got {len(batch)} of them")
        n = len(batch.numbers)
        out = np.empty((1, n * n), dtype=check_dtype(self.dtype))
        self._run(_core.matrix_features, batch, options, out, n, _PERMUTATIONS["none"], None, 1)
        return out.reshape(n, n)

    def unflatten(self, features: Samples, n_systems: int | None = None) -> npt.NDArray[Any]:
        """Turn features from :meth:`create` back into matrices.

        Parameters
        ----------
        features : ndarray or scipy.sparse array, shape (n_features,) or (n_structures, n_features)
            Features of one structure, or of several.
        n_systems : int, optional
            Number of structures, where their features follow each other in one flat array; else only checked.

        Returns
        -------
        ndarray, shape (n_atoms_max, n_atoms_max) or (n_structures, n_atoms_max, n_atoms_max)
            Padded matrices, with a leading axis if the features have one.

        Raises
        ------
        ValueError
            If the descriptor makes eigenvalues and not matrices, or a shape does not fit.
        """
        if self.permutation == "eigenspectrum":
            raise ValueError("permutation must not be 'eigenspectrum': eigenvalues do not give a matrix back")
        size = self._size()
        dense = features.toarray() if issparse(features) else np.asarray(features)
        n = size * size
        if dense.dtype.kind not in "fiu":
            raise TypeError(f"features must be numbers, got an array of {dense.dtype}")
        if n_systems is not None and dense.shape == (check_integer("n_systems", n_systems, 1) * n,) and n_systems > 1:
            dense = dense.reshape(n_systems, n)
        if dense.ndim not in (1, 2) or dense.shape[-1] != n:
            raise ValueError(f"features must have shape ({n},) or (n_structures, {n}), got {dense.shape}")
        n_found = 1 if dense.ndim == 1 else len(dense)
        if n_systems is not None and check_integer("n_systems", n_systems, 1) != n_found:
            raise ValueError(f"n_systems must be the number of rows of features, {n_found}, got {n_systems}")
        return dense.reshape(*dense.shape[:-1], size, size)


@public("CoulombMatrix", version=2, in_recipes=True)
class CoulombMatrix(_MatrixDescriptor):
    r"""Coulomb matrix of molecules.

    Element (i, j) is :math:`Z_i Z_j / |r_i - r_j|`, with distances in Å, and element (i, i) is
    :math:`Z_i^{2.4} / 2`, a fit to the energy of the free atom [1]_. Cells and periodic boundaries are ignored.

    Parameters
    ----------
    n_atoms_max : int, optional
        Largest number of atoms in a structure; smaller structures are padded with zeros. Default: learnt in
        :meth:`fit`.
    permutation : {"sorted_l2", "none", "eigenspectrum", "random"}
        How the features become independent of the order of the atoms. ``"none"``: not at all.
        ``"sorted_l2"``: rows and columns by descending Euclidean norm of the rows; rows whose norms differ by
        less than a fraction of 1e-7, as those of equivalent atoms do, in a canonical order, see Notes.
        ``"eigenspectrum"``:
        the eigenvalues by descending absolute value. ``"random"``: as ``"sorted_l2"``, with noise added to
        the norms first [2]_.
    sigma : float, optional
        Standard deviation of the normal noise of ``"random"``, in the units of the row norms; given with it
        and only with it.
    seed : int, optional
        Seed of the noise. With a seed every call gives the same noise: that of structure k in a sequence
        depends on the seed, k and ``n_atoms_max`` alone, and a single structure has k = 0. So neither the
        number of threads nor the structures that follow matter, and copies of one structure in a sequence
        are permuted differently. Default: new noise in every call.
    sparse : bool
        Whether :meth:`create` returns SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Of the features. The computation is in double precision, and the result is rounded once.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Features are named after row and column, both from 0, or after the eigenvalue, from 0 for the largest.

    With ``"sorted_l2"`` the features are the same for every order of the atoms, also of equivalent ones, whose rows
    have the same norm: among all orders that the norms leave open, one is taken that the elements of the matrix alone
    tell (of the many that symmetry makes equal any; found by colour refinement [3]_). Elements that differ by less
    than 1e-7 of the largest count as equal in this. Where all norms differ, features are those of DScribe.

    Derivatives exist by positions and by strain, for every ``permutation`` but ``"random"``. With
    ``"sorted_l2"`` they are those at fixed order: where the norms of two different rows cross, the features
    jump, and have no derivative. So it is where rows count as equal, which most displacements put an end to. With
    ``"eigenspectrum"``, the derivatives of eigenvalues that are equal (as symmetric molecules have them) are
    one choice of many, but the sum over such a set is well defined, and with it everything that treats its
    members alike; at two eigenvalues of opposite sign and equal magnitude the features swap.

    References
    ----------
    .. [1] M. Rupp, A. Tkatchenko, K.-R. Müller, O. A. von Lilienfeld, Phys. Rev. Lett. 108 (2012) 058301.
    .. [2] G. Montavon et al., Adv. Neural Inf. Process. Syst. 25 (2012) 440.
    .. [3] B. D. McKay, A. Piperno, J. Symb. Comput. 60 (2014) 94.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import CoulombMatrix
    >>> CoulombMatrix(n_atoms_max=5).create([molecule("H2O"), molecule("CO2")]).shape
    (2, 25)
    """

    _kind = _core.MatrixKind.coulomb


class _CrystalMatrix(OfCrystals, _MatrixDescriptor):
    """A matrix descriptor of crystals."""


@public("SineMatrix", version=2, in_recipes=True)
class SineMatrix(_CrystalMatrix):
    r"""Sine matrix of crystals: a periodic stand-in for the Coulomb matrix without a lattice sum.

    Element (i, j) is :math:`Z_i Z_j / |B \sin^2(\pi B^{-1} (r_i - r_j))|`, where the columns of B are the lattice
    vectors in Å and the square of the sine acts on each component; element (i, i) is :math:`Z_i^{2.4} / 2` [1]_.
    The cell repeats along all three lattice vectors, whatever the ``pbc`` of a structure; it must have a volume.

    Parameters
    ----------
    n_atoms_max, permutation, sigma, seed, sparse, dtype, n_jobs
        As for :class:`CoulombMatrix`.

    References
    ----------
    .. [1] F. Faber, A. Lindmaa, O. A. von Lilienfeld, R. Armiento, Int. J. Quantum Chem. 115 (2015) 1094.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import SineMatrix
    >>> SineMatrix(n_atoms_max=4).create([bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64)]).shape
    (2, 16)
    """

    _kind = _core.MatrixKind.sine


@public("EwaldSumMatrix", version=2, in_recipes=True)
class EwaldSumMatrix(_CrystalMatrix):
    r"""Ewald-sum matrix of crystals: the electrostatic energy of each pair of nuclei with all their images.

    With the nuclei in a uniform neutralising background, element (i, j) is [1]_, [2]_

    .. math::

        Z_i Z_j \Big[ \sum_{\mathbf T} \frac{\mathrm{erfc}(a r)}{r}
        + \frac{4 \pi}{V} \sum_{\mathbf G \ne 0} \frac{e^{-G^2 / 4 a^2}}{G^2}
        \cos \mathbf G (\mathbf r_i - \mathbf r_j) - \frac{\pi}{V a^2} \Big],
        \quad r = |\mathbf r_i - \mathbf r_j + \mathbf T| \le r_\mathrm{cut}, \; G \le g_\mathrm{cut},

    and element (i, i) is half of that, without T = 0, minus :math:`a Z_i^2 / \sqrt \pi`: the upper triangle,
    diagonal included, sums to the energy of the cell. In e^2 / Å; times 14.39964 it is in eV. The cell
    repeats along all three lattice vectors, whatever the ``pbc`` of a structure; it must have a volume.

    Parameters
    ----------
    n_atoms_max, permutation, sigma, seed, sparse, dtype, n_jobs
        As for :class:`CoulombMatrix`.
    accuracy : float
        Accuracy A of both sums, between 0 and 1; used where the cutoffs are not given [3]_.
    w : float
        Cost of a term in real space over that of one in reciprocal space; used where ``a`` is not given.
    r_cut, g_cut : float, optional
        Cutoffs of the sums in Å and 1/Å, given together or not at all; terms at the cutoff count. Default:
        sqrt(-ln A) / a and 2 a sqrt(-ln A).
    a : float, optional
        Screening parameter in 1/Å: the larger, the more of the sum is in reciprocal space. The converged sum
        does not depend on it. Default: sqrt(pi) (N w / V^2)^(1/6), with N atoms in the volume V.

    Notes
    -----
    ``accuracy``, ``w``, ``r_cut``, ``g_cut`` and ``a`` hold for :meth:`transform`, and are the defaults of
    :meth:`create`, which takes other values for one call, also one for each structure.

    Derivatives are as for :class:`CoulombMatrix`. Under strain, ``a`` and the cutoffs stay as they are where they
    are given; by default they follow the volume, as they do in the features. A term that crosses its cutoff makes
    the features jump by about ``accuracy``, which is in no derivative: differences of features that are taken over
    such a jump miss the slope by that over the step, unless ``accuracy`` is as small as 1e-12.

    References
    ----------
    .. [1] F. Faber, A. Lindmaa, O. A. von Lilienfeld, R. Armiento, Int. J. Quantum Chem. 115 (2015) 1094.
    .. [2] A. Y. Toukmaji, J. A. Board, Comput. Phys. Commun. 95 (1996) 73.
    .. [3] R. A. Jackson, C. R. A. Catlow, Mol. Simul. 1 (1988) 207.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import EwaldSumMatrix
    >>> EwaldSumMatrix(n_atoms_max=4).create(bulk("NaCl", "rocksalt", a=5.64), accuracy=1e-8).shape
    (16,)
    """

    _kind = _core.MatrixKind.ewald

    def __init__(
        self,
        n_atoms_max: int | None = None,
        permutation: str = "sorted_l2",
        sigma: float | None = None,
        seed: int | None = None,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
        accuracy: float = 1e-5,
        w: float = 1.0,
        r_cut: float | None = None,
        g_cut: float | None = None,
        a: float | None = None,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        self._lattice_sums({}, None)

    def create(  # type: ignore[override]  # DScribe's order of arguments
        self,
        structures: Structures,
        accuracy: PerStructure = None,
        w: PerStructure = None,
        r_cut: PerStructure = None,
        g_cut: PerStructure = None,
        a: PerStructure = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        out: Array | None = None,
    ) -> Features:
        """Compute the flattened matrix, or its spectrum, of every structure.

        Parameters
        ----------
        structures : structure or sequence of structures
            ASE ``Atoms``, pymatgen ``Structure``, files that ASE reads, or a
            :class:`~atomprint.structures.Batch`.
        accuracy, w, r_cut, g_cut, a : float or sequence of float, optional
            See :class:`EwaldSumMatrix`; one value for all structures, or a sequence with one for each.
            Default: what the constructor got.
        n_jobs : int, optional
            Number of threads; -1 means all cores. Default: the ``n_jobs`` of the constructor.
        only_physical_cores : bool
            Whether hardware threads of one core count once, where ``n_jobs`` is negative.
        verbose : bool
            Whether to show progress on standard error.
        out : ndarray, optional
            Where the result is written, see :meth:`Descriptor.create`.

        Returns
        -------
        ndarray or scipy.sparse array, shape (n_features,) or (n_structures, n_features)
            In e^2 / Å. A single structure gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ValueError, TypeError
            If an argument or a structure is not usable, or a structure has more atoms than ``n_atoms_max``;
            the message names the structure.
        """
        given: dict[str, Any] = {"accuracy": accuracy, "w": w, "r_cut": r_cut, "g_cut": g_cut, "a": a}
        return self._create(structures, n_jobs, only_physical_cores, verbose, out, **given)

    def prepare(  # type: ignore[override]  # the order of create
        self,
        structures: Structures,
        accuracy: PerStructure = None,
        w: PerStructure = None,
        r_cut: PerStructure = None,
        g_cut: PerStructure = None,
        a: PerStructure = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
    ) -> Evaluator:
        """Make the descriptor ready for structures whose atoms will move, as in molecular dynamics.

        Parameters
        ----------
        structures, accuracy, w, r_cut, g_cut, a, n_jobs, only_physical_cores
            As for :meth:`create`. What is not given follows the cell, as it does there.

        Returns
        -------
        Evaluator
            Computes features and their derivatives for other positions and cells of these structures.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`.
        """
        given: dict[str, Any] = {"accuracy": accuracy, "w": w, "r_cut": r_cut, "g_cut": g_cut, "a": a}
        return self._evaluator(structures, n_jobs, only_physical_cores, **given)

    def _options(self, batch: Batch, rng: np.random.Generator | None = None, **given: PerStructure) -> _Options:
        return _Options(super()._options(batch, rng).noise, self._ewald(batch, given))

    def get_matrix(
        self,
        structure: Structures,
        *,
        accuracy: PerStructure = None,
        w: PerStructure = None,
        r_cut: PerStructure = None,
        g_cut: PerStructure = None,
        a: PerStructure = None,
    ) -> npt.NDArray[Any]:
        """Compute the matrix of one structure, with its atoms in their own order and without padding.

        Parameters
        ----------
        structure : structure
            One structure, as for :meth:`create`.
        accuracy, w, r_cut, g_cut, a : float, optional
            As for :meth:`create`.

        Returns
        -------
        ndarray, shape (n_atoms, n_atoms)
            In e^2 / Å.
        """
        batch = self._read(structure)
        given = {"accuracy": accuracy, "w": w, "r_cut": r_cut, "g_cut": g_cut, "a": a}
        return self._matrix(batch, _Options(ewald=self._ewald(batch, given)))

    def _lattice_sums(
        self, given: Mapping[str, PerStructure], n_structures: int | None
    ) -> tuple[FloatArray, FloatArray, FloatArray | None, FloatArray | None, FloatArray | None]:
        """Return the checked accuracy, w, r_cut, g_cut and a: as given, else as the constructor got them."""

        def required(name: str) -> FloatArray:
            value = given.get(name)
            return _per_structure(name, getattr(self, name) if value is None else value, n_structures)

        def optional(name: str) -> FloatArray | None:
            return None if given.get(name) is None and getattr(self, name) is None else required(name)

        accuracy, r_cut, g_cut = required("accuracy"), optional("r_cut"), optional("g_cut")
        if accuracy.max() >= 1.0:
            raise ValueError(f"accuracy must be < 1, got {accuracy.max():g}")
        if (r_cut is None) != (g_cut is None):
            got = "g_cut without r_cut" if r_cut is None else "r_cut without g_cut"
            raise ValueError(f"r_cut and g_cut must be given together, got {got}")
        return accuracy, required("w"), r_cut, g_cut, optional("a")

    def _ewald(self, batch: Batch, given: Mapping[str, PerStructure]) -> FloatArray:
        """Return a, r_cut, g_cut and the strain derivative of ln a of every structure."""
        if all(value is None for value in given.values()):
            sums = memo_of(self).once("lattice sums", lambda: self._lattice_sums({}, None))
        else:
            sums = self._lattice_sums(given, len(batch))
        accuracy, w, r_cut, g_cut, a = sums
        volume = np.abs(np.linalg.det(batch.cells))
        follows_volume = a is None
        if a is None:
            a = np.sqrt(np.pi) * (batch.n_atoms * w / volume**2) ** (1.0 / 6.0)
        if r_cut is None or g_cut is None:
            reach = np.sqrt(-np.log(accuracy))
            r_cut, g_cut = reach / a, 2.0 * a * reach
        parameters = np.empty((len(batch), 4))
        for column, values in enumerate((a, r_cut, g_cut, -1.0 / 3.0 if follows_volume else 0.0)):
            parameters[:, column] = values
        radii, cells = parameters[:, 1:3], np.array([volume, (2.0 * np.pi) ** 3 / volume]).T
        n_points = 4.0 / 3.0 * np.pi * radii**3 / cells
        if n_points.max() > _POINTS_LIMIT:
            column = int(np.argmax(n_points.max(axis=0) > _POINTS_LIMIT))
            name, s = ("r_cut", "g_cut")[column], int(n_points[:, column].argmax())
            rule = (
                f"{name} must reach at most {_POINTS_LIMIT:.0e} lattice points, got {radii[s, column]:g}, which reaches"
            )
            raise StructureError(s, None, f"{rule} {n_points[s, column]:.0e}")
        return parameters


def _per_structure(name: str, value: Any, n_structures: int | None) -> FloatArray:
    """Return a positive number, or one for each structure where their number is known, as an array."""
    if n_structures is None or not isinstance(value, list | tuple | np.ndarray):
        return np.array([check_real(name, value, above=0.0)])
    if len(value) != n_structures:
        raise ValueError(f"{name} must have one value for each of the structures, {n_structures}, got {len(value)}")
    return np.array([check_real(f"{name}[{i}]", item, above=0.0) for i, item in enumerate(value)])

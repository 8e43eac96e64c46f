"""Kernels between structures, from the similarities of their centres."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.pooling.pooling import LocalFeatures, Pooling
from atomprint.ragged import chunks, locate, offsets_of
from atomprint.util import sparse
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.scikit import Transformer
from atomprint.util.validation import check_bool, check_choice, check_n_jobs, check_real

__all__ = ["AverageKernel", "REMatchKernel", "StructureKernel"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
LocalFeaturesLike: TypeAlias = Any
""":class:`~atomprint.pooling.LocalFeatures`, a sequence of dense or sparse arrays of shape (n_centers, n_features),
one for each structure, or an array of shape (n_structures, n_centers, n_features)."""

# In compiled code, and what they are called there; the other metrics are scikit-learn's.
_KIND = _core.LocalKernel.Kind
_COMPILED = {"linear": _KIND.given, "polynomial": _KIND.polynomial, "poly": _KIND.polynomial, "rbf": _KIND.rbf}
# Similarities of about this many centres with as many others are held at once: 8 MiB, which stay in cache.
_BLOCK_CENTERS = 1024
_ADVICE = "scale the features of every centre to unit length, for example with sklearn.preprocessing.normalize"
_SLACK = 8  # numbers that the core may read beyond the end of the squares


@public("Centers", version=1)
@dataclass(frozen=True, slots=True)
class _Centers:
    """Features of the centres of structures, checked; ``squares`` are those of their lengths, empty if not needed."""

    values: Any
    offsets: npt.NDArray[np.int64]
    squares: FloatArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    def check(self) -> None:
        """Raise ``ValueError`` if the parts do not fit together, as compiled code takes for granted."""
        n, offsets = self.values.shape[0], self.offsets
        if (
            self.values.ndim != 2
            or self.values.dtype.kind != "f"
            or offsets.dtype != np.int64
            or offsets.ndim != 1
            or len(offsets) < 2
            or offsets[0] != 0
            or offsets[-1] != n
            or (np.diff(offsets) < 1).any()
            or self.squares.dtype != np.float64
            or self.squares.shape not in ((0,), (n + _SLACK,))
        ):
            raise ValueError(f"features of {n} centres do not belong to structures that begin at {offsets}")

    def rows(self, start: int, stop: int) -> Any:
        """Return the features of a run of structures; a view, the same object for all of them."""
        return self.values if (start, stop) == (0, len(self)) else self.values[self.offsets[start] : self.offsets[stop]]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Return runs of structures with about ``_BLOCK_CENTERS`` centres."""
        return chunks(self.offsets, _BLOCK_CENTERS)


class _Metric(NamedTuple):
    """A local kernel with its parameters settled; kind as in the core, None where scikit-learn computes it."""

    kind: _core.LocalKernel.Kind | None
    gamma: float
    degree: float
    coef0: float


class StructureKernel(Transformer, CheckedParameters):
    """Base of the kernels between structures; see :class:`AverageKernel` and :class:`REMatchKernel`.

    A kernel is also a transformer: ``fit`` keeps the features of the given structures, ``transform`` compares others
    with these. So it can stand between a local descriptor and a model with ``kernel="precomputed"``, such as
    ``KernelRidge`` or ``SVR``. (Not ``GaussianProcessRegressor``, which adds its noise to a precomputed matrix in place
    and more than once; ``KernelRidge`` has the mean of a Gaussian process.)
    """

    metric: str | Callable[..., float]
    gamma: float | None
    degree: float
    coef0: float
    kernel_params: Mapping[str, Any] | None
    normalize_kernel: bool
    n_jobs: int

    def _validate(self) -> None:
        if not callable(self.metric):
            if not (isinstance(self.metric, str) and self.metric in _COMPILED):
                from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

                others = sorted(set(PAIRWISE_KERNEL_FUNCTIONS) - {"polynomial"})
                check_choice("metric", self.metric, ("polynomial", *others))
            if self.kernel_params is not None:
                raise ValueError(
                    f"kernel_params must be None unless metric is callable, got {self.kernel_params!r} for "
                    f"metric={self.metric!r}: give gamma, degree and coef0"
                )
        elif self.kernel_params is not None and not isinstance(self.kernel_params, Mapping):
            raise TypeError(f"kernel_params must be None or a dict, got {self.kernel_params!r}")
        if self.gamma is not None:
            check_real("gamma", self.gamma, at_least=0)
        check_real("degree", self.degree, at_least=1)
        check_real("coef0", self.coef0)
        check_bool("normalize_kernel", self.normalize_kernel)
        check_n_jobs(self.n_jobs)

    # What users call -------------------------------------------------------------------------------------------

    def create(self, x: LocalFeaturesLike, y: LocalFeaturesLike | None = None, n_jobs: int | None = None) -> FloatArray:
        """Compute the kernel between all structures of two sets.

        Parameters
        ----------
        x : LocalFeatures, sequence of arrays, or array of shape (n_x, n_centers, n_features)
            Features of the centres of each structure: a dense or sparse array of shape (n_centers, n_features) each.
        y : as x, optional
            Features of other structures. Default: ``x``, where every pair is computed once.
        n_jobs : int, optional
            Number of threads over pairs of structures; -1 means all cores. Default: that of the constructor. Scalar
            products of features are left to NumPy, and use the threads that it is set to.

        Returns
        -------
        ndarray of float64, shape (n_x, n_y)

        Raises
        ------
        ValueError, TypeError
            If the features are not usable, or the kernel of two structures has no value; the message names them.
        """
        n_threads = check_n_jobs(self.n_jobs if n_jobs is None else n_jobs)
        X = self._read("x", x)
        if y is None:
            return self._kernel(X, X, None, n_threads)
        Y = self._read("y", y)
        _check_width(X, Y)
        return self._kernel(X, Y, self._scales("y", Y, n_threads), n_threads)

    def fit(self, X: LocalFeaturesLike, y: Any = None) -> Self:
        """Keep the features of structures, with which ``transform`` compares others.

        Parameters
        ----------
        X : LocalFeatures or sequence of arrays
            As ``x`` of :meth:`create`.
        y : ignored

        Returns
        -------
        self
        """
        self._validate()
        self.reference_ = self._read("X", X)
        self.scales_ = self._scales("X", self.reference_, check_n_jobs(self.n_jobs))
        return self

    def transform(self, X: LocalFeaturesLike) -> FloatArray:
        """Return the kernel of structures with those given to ``fit``, shape (n_structures, n_fitted)."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "reference_")
        given = self._read("X", X)
        _check_width(given, self.reference_)
        return self._kernel(given, self.reference_, self.scales_, check_n_jobs(self.n_jobs))

    def fit_transform(self, X: LocalFeaturesLike, y: Any = None, **fit_params: Any) -> FloatArray:
        """Return the kernel of structures with each other, and keep their features for ``transform``."""
        self.fit(X)
        return self._kernel(self.reference_, self.reference_, None, check_n_jobs(self.n_jobs))

    # -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _regularisation(self) -> tuple[float | None, float]:
        """Return alpha and threshold of the match; alpha None for the mean."""

    def _read(self, name: str, given: LocalFeaturesLike) -> _Centers:
        return _read(name, given, not callable(self.metric) and self.metric == "rbf")

    def _settle(self, n_features: int) -> _Metric:
        kind = None if callable(self.metric) else _COMPILED.get(self.metric)
        gamma = 1.0 / max(n_features, 1) if self.gamma is None else float(self.gamma)
        return _Metric(kind, gamma, float(self.degree), float(self.coef0))

    def _kernel(self, X: _Centers, Y: _Centers, y_scales: FloatArray | None, n_threads: int) -> FloatArray:
        """Return the kernel matrix; with Y the very object X each pair is computed once."""
        symmetric = Y is X
        if symmetric:
            out = self._raw(X, X, n_threads)
            if not self.normalize_kernel:
                return out
            x_scales = y_scales = _inverse_roots("x", np.diagonal(out))
        else:
            out = self._raw(X, Y, n_threads)
            if not self.normalize_kernel or y_scales is None:
                return out
            x_scales = _inverse_roots("x", self._diagonal("x", X, n_threads))
        out *= np.outer(x_scales, y_scales)
        if symmetric:
            np.fill_diagonal(out, 1.0)
        return out

    def _scales(self, name: str, Y: _Centers, n_threads: int) -> FloatArray | None:
        """Return 1 / sqrt(K_ii) of all structures, or None if they are not needed."""
        return _inverse_roots(name, self._diagonal(name, Y, n_threads)) if self.normalize_kernel else None

    def _raw(self, X: _Centers, Y: _Centers, n_threads: int) -> FloatArray:
        """Return the kernel matrix without normalisation."""
        symmetric = Y is X
        out = np.empty((len(X), len(Y)))
        for a, b in X.runs():
            for c, d in Y.runs():
                if symmetric and d <= a:
                    continue
                i, j = (axis.ravel() for axis in np.meshgrid(np.arange(a, b), np.arange(c, d), indexing="ij"))
                if symmetric:
                    i, j = i[j >= i], j[j >= i]
                products = self._products(X.rows(a, b), None if symmetric and (a, b) == (c, d) else Y.rows(c, d))
                first = (X.offsets[i] - X.offsets[a]) * products.shape[1] + Y.offsets[j] - Y.offsets[c]
                ld = np.full(len(i), products.shape[1])
                names = ("x", "x") if symmetric else ("x", "y")
                values = self._compare(products.ravel(), first, ld, X, Y, i, j, names, n_threads)
                out[i, j] = values
                if symmetric:
                    out[j, i] = values
        return out

    def _diagonal(self, name: str, X: _Centers, n_threads: int) -> FloatArray:
        """Return the kernel of every structure with itself, without normalisation."""
        out = np.empty(len(X))
        for a, b in X.runs():
            index, counts = np.arange(a, b), X.counts[a:b]
            first = offsets_of(counts**2)
            products = np.empty(int(first[-1]))
            for k, s in enumerate(range(a, b)):
                products[first[k] : first[k + 1]] = self._products(X.rows(s, s + 1), None).ravel()
            out[a:b] = self._compare(products, first[:-1], counts, X, X, index, index, (name, name), n_threads)
        return out

    def _products(self, x: Any, y: Any) -> FloatArray:
        """Return what local kernels are made from; a ``y`` of None means x."""
        if not callable(self.metric) and self.metric in _COMPILED:
            with np.errstate(over="ignore", invalid="ignore"):  # reported with the pair of structures
                found = x @ (x if y is None else y).T  # half the work where both are the same
            return np.ascontiguousarray(found.toarray() if sparse.issparse(found) else found)
        from sklearn.metrics.pairwise import pairwise_kernels

        if callable(self.metric):
            x, y = (item.toarray() if sparse.issparse(item) else item for item in (x, y))
            given = pairwise_kernels(x, y, metric=self.metric, **(self.kernel_params or {}))
        else:
            parameters = {"degree": self.degree, "coef0": self.coef0}
            if self.gamma is not None:  # each metric has its own default
                parameters["gamma"] = self.gamma
            given = pairwise_kernels(x, y, metric=self.metric, filter_params=True, **parameters)
        return np.ascontiguousarray(given, dtype=np.float64)

    def _compare(
        self,
        products: FloatArray,
        first: npt.NDArray[np.int64],
        ld: npt.NDArray[np.int64],
        X: _Centers,
        Y: _Centers,
        i: npt.NDArray[np.int64],
        j: npt.NDArray[np.int64],
        names: tuple[str, str],
        n_threads: int,
    ) -> FloatArray:
        """Return one number for each pair of structures (i, j), with products from ``first`` on in rows of ``ld``."""
        kind, gamma, degree, coef0 = self._settle(X.values.shape[1])
        kernel = _core.LocalKernel(kind=kind or _KIND.given, gamma=gamma, degree=degree, coef0=coef0)
        alpha, threshold = self._regularisation()
        pairs = np.stack([first, ld, X.counts[i], Y.counts[j], X.offsets[i], Y.offsets[j]], axis=1).astype(np.int64)
        out = np.empty(len(i))
        match, p = _core.compare_structures(
            kernel, products, pairs, X.squares, Y.squares, alpha, threshold, out, n_threads
        )
        if match == _core.Match.found:
            return out
        one, other = int(i[p]), int(j[p])
        if names == ("x", "y"):
            which = f"structure {one} of x and structure {other} of y"
        elif one != other:
            which = f"{names[0]}: structures {one} and {other}"
        else:
            which = f"{names[0]}: structure {one} with itself"
        if match == _core.Match.not_finite:
            raise ValueError(f"{which}: local similarities must be finite for metric={self.metric!r}: {_ADVICE}")
        block = products[first[p] : first[p] + (X.counts[one] - 1) * ld[p] + Y.counts[other]]
        if match == _core.Match.not_converged:
            raise ValueError(
                f"{which}: the match does not converge for alpha={alpha:g} and threshold={threshold:g}: choose a "
                f"larger alpha or threshold, or {_ADVICE}"
            )
        raise ValueError(
            f"{which}: exp(-(1 - C) / alpha) of the local similarities C (metric={self.metric!r}, features with "
            f"scalar products up to {np.abs(block).max():.3g}) leaves the range of numbers for alpha={alpha:g}: "
            f"{_ADVICE}, or choose a larger alpha"
        )


@public("AverageKernel", version=1, in_recipes=True)
class AverageKernel(StructureKernel):
    r"""Mean similarity of the centres of two structures.

    For structures A and B with N and M centres and the local kernel C,

    .. math:: K(A, B) = \frac{1}{N M} \sum_{ij} C_{ij}(A, B),

    by default normalised to :math:`K(A, B) / \sqrt{K(A, A) K(B, B)}`.

    Parameters
    ----------
    metric : str or callable
        Local kernel of two centres: ``"linear"`` (x.y), ``"polynomial"`` ((gamma x.y + coef0)^degree), ``"rbf"``
        (exp(-gamma \|x - y\|^2)), which are compiled, or another name that
        :func:`sklearn.metrics.pairwise.pairwise_kernels` knows, or a function of the features of two centres.
    gamma : float, optional
        Parameter of some metrics. Default: 1 / n_features, or that of scikit-learn's metric.
    degree, coef0 : float
        Parameters of the polynomial metric; ``coef0`` of the sigmoid, too.
    kernel_params : dict, optional
        Further arguments of a callable ``metric``.
    normalize_kernel : bool
        Whether to normalise, so that K(A, A) = 1.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    For the linear metric K(A, B) is the scalar product of the mean features, and as fast.

    References
    ----------
    De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), eq. 8.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from sklearn.kernel_ridge import KernelRidge
    >>> from atomprint.descriptors import SOAP
    >>> soap = SOAP(species=["H", "O"], r_cut=5.0, n_max=4, l_max=3)
    >>> features = soap.create([molecule("H2O"), molecule("H2O2")])
    >>> kernel = AverageKernel(metric="rbf", gamma=1e-3)
    >>> model = KernelRidge(kernel="precomputed").fit(kernel.create(features), [0.0, 1.0])
    >>> model.predict(kernel.create([features[0]], features)).shape
    (1,)
    """

    def __init__(
        self,
        metric: str | Callable[..., float] = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: Mapping[str, Any] | None = None,
        normalize_kernel: bool = True,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _regularisation(self) -> tuple[float | None, float]:
        return None, 0.0

    def _is_linear(self) -> bool:
        return not callable(self.metric) and self.metric == "linear"

    def _raw(self, X: _Centers, Y: _Centers, n_threads: int) -> FloatArray:
        if not self._is_linear():
            return super()._raw(X, Y, n_threads)
        x = _means(X)
        with np.errstate(over="ignore", invalid="ignore"):
            products = np.asarray(x @ (x if Y is X else _means(Y)).T)
        return _finite(products, "x" if Y is X else "x and y")

    def _diagonal(self, name: str, X: _Centers, n_threads: int) -> FloatArray:
        if not self._is_linear():
            return super()._diagonal(name, X, n_threads)
        with np.errstate(over="ignore"):
            squares = np.asarray((_means(X) ** 2).sum(axis=1))
        return _finite(squares, name)

    def cotangents(self, x: Any, y: LocalFeaturesLike, weights: npt.ArrayLike) -> Any:
        r"""Differentiate a weighted sum of kernels by the features of the centres of a structure.

        For the model :math:`E(A) = \sum_j w_j K(A, B_j)` this gives dE/dx for all features x of the centres of A.
        ``descriptor.vjp(structure, cotangents)`` turns them into derivatives by positions and strain, and so into the
        forces and the stress of the model.

        Parameters
        ----------
        x : array of shape (n_centers, n_features), or sequence of these
            Features of the centres of the structure A, or of several structures.
        y : LocalFeatures or sequence of arrays
            Features of the structures B, which are constant.
        weights : array of shape (n_y,) or (n_x, n_y)
            Weights w of the kernels, for all structures of ``x`` or for each, such as the ``dual_coef_`` of a
            ``KernelRidge`` in eV.

        Returns
        -------
        ndarray of float64, shape (n_centers, n_features), or list of these
            For a single structure an array, for a sequence a list.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, if ``weights`` have the wrong shape or are not finite, or the metric is not one of
            ``"linear"``, ``"polynomial"`` and ``"rbf"``.
        """
        if callable(self.metric) or self.metric not in _COMPILED:
            raise ValueError(
                "cotangents: metric must be 'linear', 'polynomial' or 'rbf', which have derivatives, "
                f"got {self.metric!r}"
            )
        single = getattr(x, "ndim", None) == 2
        X, Y = self._read("x", [x] if single else x), self._read("y", y)
        _check_width(X, Y)
        w = np.asarray(weights)
        if w.dtype.kind not in "iuf" or w.shape not in ((len(Y),), (len(X), len(Y))):
            raise ValueError(
                f"weights must be numbers of shape ({len(Y)},) or ({len(X)}, {len(Y)}), "
                f"got shape {w.shape} of {w.dtype}"
            )
        if not np.isfinite(w).all():
            raise ValueError("weights must be finite")
        w = np.broadcast_to(w.astype(np.float64), (len(X), len(Y)))
        scales = self._scales("y", Y, 1)
        own = self._diagonal("x", X, 1) if self.normalize_kernel else np.ones(len(X))
        own_scales = _inverse_roots("x", own)
        found = []
        for s in range(len(X)):
            n = int(X.counts[s])
            factors = w[s] / Y.counts * own_scales[s] / n
            if scales is not None:
                factors = factors * scales
            value, gradient = self._contract(X, s, Y, 0, len(Y), factors)
            if self.normalize_kernel:
                # K(A, A) depends on x through both arguments; the root in front makes that one.
                back = np.full(1, -value / own[s] / n**2)
                gradient += self._contract(X, s, X, s, s + 1, back)[1]
            found.append(gradient)
        return found[0] if single else found

    def _contract(
        self, X: _Centers, s: int, Y: _Centers, start: int, stop: int, factors: FloatArray
    ) -> tuple[float, FloatArray]:
        """Sum local kernels of structure s times a factor for each structure of Y; also their derivatives by x."""
        kind, gamma, degree, coef0 = self._settle(X.values.shape[1])
        x = _dense(X.rows(s, s + 1))
        x_squares = X.squares[X.offsets[s] : X.offsets[s + 1]]
        total, gradient = 0.0, np.zeros_like(x)
        for c, d in Y.runs():
            c, d = max(c, start), min(d, stop)
            if c >= d:
                continue
            y = _dense(Y.rows(c, d))
            weight = np.repeat(factors[c - start : d - start], Y.counts[c:d])
            products = x @ y.T
            if kind == _KIND.given:
                values, slopes = products, np.ones_like(products)
            elif kind == _KIND.polynomial:
                base = gamma * products + coef0
                values, slopes = base**degree, degree * gamma * base ** (degree - 1)
            else:
                squares = x_squares[:, None] + Y.squares[Y.offsets[c] : Y.offsets[d]] - 2 * products
                values = np.exp(-gamma * np.maximum(squares, 0))
                slopes = 2 * gamma * values
            slopes *= weight
            total += float((values @ weight).sum())
            gradient += slopes @ y
            if kind == _KIND.rbf:
                gradient -= slopes.sum(axis=1)[:, None] * x
        return total, gradient


@public("REMatchKernel", version=1, in_recipes=True)
class REMatchKernel(StructureKernel):
    r"""Regularised-entropy match: mean similarity of the best-matching centres of two structures.

    For structures A and B with N and M centres and the local kernel C,

    .. math::
        K(A, B) = \mathrm{Tr}(P^T C), \qquad
        P = \arg\min_P \sum_{ij} P_{ij} (1 - C_{ij} + \alpha \ln P_{ij}),

    where the rows of P sum to 1 / N and its columns to 1 / M, by default normalised to
    :math:`K(A, B) / \sqrt{K(A, A) K(B, B)}`. A small :math:`\alpha` gives the best assignment of centres to each
    other, a large one the :class:`AverageKernel`.

    Parameters
    ----------
    alpha : float
        Strength of the entropy; in the units of C.
    threshold : float
        P is :math:`u_i \exp(-(1 - C_{ij}) / \alpha) v_j`, with u and v found in turns (Sinkhorn) until the sum of their
        squared relative changes is not above this.
    metric, gamma, degree, coef0, kernel_params, normalize_kernel, n_jobs
        As for :class:`AverageKernel`.

    Notes
    -----
    C should be at most about 1, as for features of unit length and the linear metric, or for ``"rbf"``. The features of
    SOAP are not normalised: use :func:`sklearn.preprocessing.normalize` on those of each structure. Where similarities
    are so large that the exponentials leave the range of numbers there is an error.

    With a loose threshold the value depends on where the iteration stops; it stops where DScribe's does.

    References
    ----------
    De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), eqs. 12-14; Cuturi, Adv. Neural Inf.
    Process. Syst. 26, 2292 (2013).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from sklearn.preprocessing import normalize
    >>> from atomprint.descriptors import SOAP
    >>> soap = SOAP(species=["H", "O"], r_cut=5.0, n_max=4, l_max=3)
    >>> features = [normalize(x) for x in soap.create([molecule("H2O"), molecule("H2O2")])]
    >>> REMatchKernel(alpha=0.1).create(features).shape
    (2, 2)
    """

    def __init__(
        self,
        alpha: float = 0.1,
        threshold: float = 1e-6,
        metric: str | Callable[..., float] = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: Mapping[str, Any] | None = None,
        normalize_kernel: bool = True,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_real("alpha", self.alpha, above=0)
        check_real("threshold", self.threshold, above=0)
        super()._validate()

    def _regularisation(self) -> tuple[float | None, float]:
        return float(self.alpha), float(self.threshold)


# Reading -------------------------------------------------------------------------------------------------------


def _read(name: str, given: LocalFeaturesLike, with_squares: bool = True) -> _Centers:
    """Return checked features in double precision, and their squared lengths if asked for."""
    if isinstance(given, np.ndarray) and given.ndim != 3 and given.dtype.kind not in "OV":
        raise ValueError(
            f"{name} must be a sequence with one array of shape (n_centers, n_features) for each structure, "
            f"got an array of shape {given.shape}"
        )
    if isinstance(given, LocalFeatures):
        features = given
    else:
        try:
            features = LocalFeatures.from_arrays(given)
        except (TypeError, ValueError) as error:
            raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{name}: {error}") from error
    offsets = np.asarray(features.offsets, dtype=np.int64)
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(offsets) < 2 or len(empty):
        which = f"structure {empty[0]} must have at least one centre" if len(empty) else "there must be a structure"
        raise ValueError(f"{name}: {which}, got none")
    if sparse.issparse(features.values):
        values: Any = sparse.csr_array(features.values, dtype=np.float64)
    else:
        values = np.ascontiguousarray(features.values, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(values.sum()):  # cheaper than to look at each number, and nearly as good
            _check_finite(name, values, offsets)
        squares = np.zeros(values.shape[0] + _SLACK if with_squares else 0)
        if with_squares:  # if one is infinite, that is reported with its pair
            squares[:-_SLACK] = (values * values).sum(axis=1)
    return _Centers(values, offsets, squares)


def _check_finite(name: str, values: Any, offsets: npt.NDArray[np.int64]) -> None:
    finite = np.isfinite(values.data if sparse.issparse(values) else values)
    if finite.all():
        return
    if sparse.issparse(values):
        row = locate(values.indptr, int(np.argmin(finite)))[0]
    else:
        row = int(np.argmin(finite.all(axis=1)))
    structure, centre = locate(offsets, row)
    raise ValueError(f"{name}: structure {structure}, centre {centre}: features must be finite")


def _check_width(X: _Centers, Y: _Centers) -> None:
    if X.values.shape[1] != Y.values.shape[1]:
        raise ValueError(
            f"x and y must have the same number of features, got {X.values.shape[1]} and {Y.values.shape[1]}"
        )


def _dense(rows: Any) -> FloatArray:
    return rows.toarray() if sparse.issparse(rows) else rows


def _means(X: _Centers) -> FloatArray:
    """Return the mean features of every structure."""
    means = Pooling("mean")._plan(X.offsets).row_weights().matrix(X.offsets) @ X.values
    return np.asarray(means.toarray() if sparse.issparse(means) else means)


def _finite(values: FloatArray, name: str) -> FloatArray:
    if not np.isfinite(values).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(values))), values.shape)
        which = " and ".join(str(int(i)) for i in place)
        raise ValueError(f"{name}: structures {which}: local similarities must be finite: {_ADVICE}")
    return values


def _inverse_roots(name: str, diagonal: FloatArray) -> FloatArray:
    """Return 1 / sqrt(K_ii), or raise where that does not exist."""
    wrong = np.flatnonzero(~(diagonal > 0))
    if len(wrong):
        raise ValueError(
            f"{name}: structure {wrong[0]}: its similarity with itself must be > 0 to normalise, got "
            f"{diagonal[wrong[0]]:g}: are all its features zero? Or choose normalize_kernel=False"
        )
    return np.asarray(1 / np.sqrt(diagonal))

"""Atom-centred symmetry functions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from atomprint import _core
from atomprint.descriptors.engine.compiled import CompiledDescriptor
from atomprint.layout import Axis, Block, Layout, symbols_of
from atomprint.pooling.pooling import Pooling
from atomprint.util.registry import public
from atomprint.util.validation import check_length, check_real, check_species

_LARGEST = 1e6  # parameter: far beyond all use, and no function of it overflows
_Rows = tuple[tuple[float, ...], ...]


@public("ACSF", version=1, in_recipes=True)
class ACSF(CompiledDescriptor):
    r"""Atom-centred symmetry functions: sums over the neighbours of a centre, and over pairs of them.

    With the cutoff function :math:`f(r) = (\cos(\pi r / r_\mathrm{cut}) + 1) / 2`, zero beyond ``r_cut``, the
    features for neighbours j of one species, and for pairs of neighbours j, k of two species, are

    .. math::
        G_1 &= \sum_j f(r_j) \\
        G_2 &= \sum_j e^{-\eta (r_j - R_s)^2} f(r_j) \\
        G_3 &= \sum_j \cos(\kappa r_j) f(r_j) \\
        G_4 &= 2^{1 - \zeta} \sum_{j < k} (1 + \lambda \cos \theta_{jk})^\zeta
               e^{-\eta (r_j^2 + r_k^2 + r_{jk}^2)} f(r_j) f(r_k) f(r_{jk}) \\
        G_5 &= 2^{1 - \zeta} \sum_{j < k} (1 + \lambda \cos \theta_{jk})^\zeta
               e^{-\eta (r_j^2 + r_k^2)} f(r_j) f(r_k)

    Parameters
    ----------
    r_cut : float
        Cutoff in Å.
    g2_params : array of shape (n, 2), optional
        Pairs of eta >= 0 (1/Å^2) and R_s (Å).
    g3_params : array of shape (n,), optional
        Values of kappa (1/Å).
    g4_params, g5_params : array of shape (n, 3), optional
        Triples of eta >= 0 (1/Å^2), zeta >= 1 and -1 <= lambda <= 1. Below 1, zeta would make the derivative
        infinite where three atoms are in line; beyond 1, lambda the base of the power negative. No parameter may be
        larger than 1e6.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur. Left out, they are learnt in ``fit``.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of computation and result. In float32 features have an error of about 1e-6 of the largest.
    centers : callable or list, optional
        Default for the ``centers`` of :meth:`create`, such as a :class:`~atomprint.sampling.CenterSampler`.
    pooling : str, tuple or Pooling, optional
        How to make one row for each structure out of the rows of its centres; see :mod:`atomprint.pooling.pooling`.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Numbers agree with DScribe 2.1.2 where that is right. The order of the features is: for each species (ascending by
    atomic number) G1, G2, G3 in the order of their parameters; then for each pair of species, (0, 0), (0, 1), (1, 1),
    (0, 2) and so on, G4 and G5. With S species, n2 pairs of parameters of G2 and so on there are
    S (1 + n2 + n3) + S (S + 1) / 2 (n4 + n5) features.

    A centre is not its own neighbour, though its periodic images are. So that the position of an atom means the same
    as its index, an atom on a Cartesian centre (within 1e-5 Å) is taken for the centre too.

    References
    ----------
    Behler, J. Chem. Phys. 134, 074106 (2011), eqs. 4-9; Himanen et al., Comput. Phys. Commun. 247, 106949 (2020).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import ACSF
    >>> acsf = ACSF(r_cut=6.0, species=["H", "O"], g2_params=[[1, 1], [1, 2]], g4_params=[[1, 1, 1], [1, 1, -1]])
    >>> acsf.create(molecule("H2O")).shape
    (3, 12)
    """

    _pools = ("_compute", "_vjp", "_pairs")

    def __init__(
        self,
        r_cut: float,
        g2_params: Any = None,
        g3_params: Any = None,
        g4_params: Any = None,
        g5_params: Any = None,
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: str = "float64",
        centers: Any = None,
        pooling: str | tuple[str, ...] | Pooling | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    # -----------------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        super()._validate()
        check_length("r_cut", self.r_cut)
        self._parameters()

    def _parameters(self) -> tuple[_Rows, _Rows, _Rows, _Rows]:
        """Return the checked parameters of G2, G3, G4 and G5, one row for each function."""
        eta, shift, kappa = ("eta", 0.0, _LARGEST), ("R_s", -_LARGEST, _LARGEST), ("kappa", -_LARGEST, _LARGEST)
        angular = (eta, ("zeta", 1.0, _LARGEST), ("lambda", -1.0, 1.0))
        return (
            _rows("g2_params", self.g2_params, (eta, shift)),
            _rows("g3_params", self.g3_params, (kappa,)),
            _rows("g4_params", self.g4_params, angular),
            _rows("g5_params", self.g5_params, angular),
        )

    def _n_features(self) -> int:
        def count(*params: Any) -> int:
            return sum(len(given) for given in params if given is not None)

        n, n_radial = len(self._species()), 1 + count(self.g2_params, self.g3_params)
        return n * n_radial + n * (n + 1) // 2 * count(self.g4_params, self.g5_params)

    def _layout(self) -> Layout:
        symbols, (g2, g3, g4, g5) = symbols_of(self._species()), self._parameters()
        radial = [
            "G1",
            *(f"G2 eta={eta:g} R_s={shift:g}" for eta, shift in g2),
            *(f"G3 kappa={kappa:g}" for (kappa,) in g3),
        ]
        angular = [
            f"{name} eta={eta:g} zeta={zeta:g} lambda={lam:g}"
            for name, rows in (("G4", g4), ("G5", g5))
            for eta, zeta, lam in rows
        ]
        blocks = [Block((symbol,), [Axis("radial functions", radial)]) for symbol in symbols]
        if angular:
            axes = [Axis("angular functions", angular)]
            blocks += [Block((b, a), axes) for j, a in enumerate(symbols) for b in symbols[: j + 1]]
        return Layout("ACSF", blocks)

    def get_location(self, species: Any) -> slice:
        """Return where the features of a species, or of a pair of species, are.

        Parameters
        ----------
        species : str, int, or sequence of one or two of them
            Chemical symbols or atomic numbers: one for G1, G2 and G3, two in any order for G4 and G5.

        Returns
        -------
        slice
            Into the features of a row.

        Raises
        ------
        ValueError
            If there are no features for this combination.
        """
        key = [species] if isinstance(species, str | int | np.integer) else species
        if not isinstance(key, list | tuple) or len(key) not in (1, 2):
            raise ValueError(f"species must be one or two chemical symbols or atomic numbers, got {species!r}")
        return self._layout().location(symbols_of([z for s in key for z in check_species([s])]))

    # -----------------------------------------------------------------------------------------------------------

    def _calculator(self) -> Any:
        """Return the compiled calculator, from the cache if these parameters have been used before."""
        return _calculator(str(self._dtype()), self._species(), float(self.r_cut), *self._parameters())


def _rows(name: str, given: Any, columns: tuple[tuple[str, float, float], ...]) -> _Rows:
    """Return parameters as rows of checked numbers, each column with its name, least and largest value."""
    if given is None:
        return ()
    names, least, largest = zip(*columns, strict=True)
    shape = "(n,)" if len(columns) == 1 else f"(n, {len(columns)})"
    rule = f"{name} must be None or numbers of shape {shape} for {', '.join(names)}"
    try:
        array = np.asarray(given)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{rule}, got {given!r}") from None
    if array.size and array.dtype.kind not in "fiu":
        raise TypeError(f"{rule}, got {given!r}")
    if array.ndim != min(len(columns), 2) or (array.ndim == 2 and array.shape[1] != len(columns)) or len(array) == 0:
        raise ValueError(f"{rule}, got shape {array.shape}")
    rows = array.astype(np.float64).reshape(-1, len(columns))
    wrong = np.argwhere(~(np.isfinite(rows) & (rows >= least) & (rows <= largest)))
    if len(wrong):
        k, column = wrong[0]
        value, where = float(rows[k, column]), f"{name}: {names[column]} of row {k}"
        check_real(where, value, at_least=float(least[column]))
        raise ValueError(f"{where} must be <= {largest[column]:g}, got {value}")
    return tuple(map(tuple, rows.tolist()))


@lru_cache(maxsize=16)
def _calculator(dtype: str, species: tuple[int, ...], r_cut: float, g2: _Rows, g3: _Rows, g4: _Rows, g5: _Rows) -> Any:
    """Return the compiled calculator: immutable, shared by all descriptors with these parameters."""
    build = _core.Acsf64 if dtype == "float64" else _core.Acsf32
    return build(species=species, cutoff=r_cut, g2=g2, g3=[kappa for (kappa,) in g3], g4=g4, g5=g5)

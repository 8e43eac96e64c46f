"""Checks and switches for tests, of this package and of code built on it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.arguments import VARIABLES, Variables, check_wrt
from atomprint.descriptors.engine.call import Call
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.engine.numerical import moved
from atomprint.descriptors.engine.pairs import PairJacobian
from atomprint.structures import Structures, as_list, is_structure
from atomprint.util.sparse import issparse

__all__ = ["DerivativeReport", "check_derivatives", "instruction_set", "instruction_sets"]


def instruction_sets() -> list[str]:
    """Return the instruction sets that the kernels can use on this machine, slowest first.

    The fastest is in use unless the environment variable ``ATOMPRINT_ISA`` names another.
    """
    return _core.instruction_sets()


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use the kernels compiled for one instruction set within a ``with`` block, in all threads.

    Parameters
    ----------
    name : str
        One of :func:`instruction_sets`.
    """
    before = _core.instruction_set()
    _core.use_instruction_set(name)
    try:
        yield
    finally:
        _core.use_instruction_set(before)


# Derivatives ---------------------------------------------------------------------------------------------------

# Steps h, in Å for positions and without unit for strain; 2h is taken too.
_STEPS = {"positions": 2e-4, "strain": 1e-4}
_RTOL = {"float64": 1e-6, "float32": 1e-4}
# Of one form of the derivatives against another: these differ by rounding alone.
_RTOL_OF_FORMS = {"float64": 1e-9, "float32": 1e-4}
_N_DIRECTIONS = 3
# Differences with h and 2h that differ by more than this are not those of a smooth function.
_ROUGH = 1e-2


@dataclass(frozen=True)
class DerivativeReport:
    """What :func:`check_derivatives` has found.

    Parameters
    ----------
    errors : dict
        For each check, the largest difference over the largest value.
    rtol : float
        What was allowed where derivatives were compared with differences.
    constant : bool
        Whether no feature changes with anything: then there was nothing to check.
    """

    rtol: float
    errors: Mapping[str, float] = field(default_factory=dict)
    constant: bool = False

    def __str__(self) -> str:
        lines = [f"  {name}: {error:.1e}" for name, error in self.errors.items()]
        return "\n".join([f"derivatives agree, relative errors (allowed: {self.rtol:.0e}):", *lines])


def check_derivatives(
    descriptor: Descriptor,
    structures: Structures,
    *,
    centers: Any = None,
    wrt: Variables = VARIABLES,
    attach: bool | Sequence[bool] = (True, False),
    rtol: float | None = None,
    random_state: int = 0,
) -> DerivativeReport:
    """Check all derivatives of a descriptor against central differences, and against each other.

    Every structure is moved along random directions and as a whole, and deformed and rotated, by two step sizes. What
    ``derivatives``, ``vjp`` (with random cotangents) and, where it exists, ``jacobian`` give must agree with the
    differences of the features, and must not be zero unless these are.

    Parameters
    ----------
    descriptor : Descriptor
        Any descriptor, also one of your own.
    structures : structure or sequence of structures
        As for :meth:`Descriptor.create`. Features must be smooth around them: no atom within 1e-3 Å of a cutoff with
        a hard edge, no centres with equal features under a ``max`` or ``std``. A few atoms are enough, best in general
        positions.
    centers : sequence, optional
        As for :meth:`LocalDescriptor.create`.
    wrt : {"positions", "strain"} or tuple of both
        What to differentiate by.
    attach : bool or sequence of bool
        Values of ``attach`` to check, for descriptors with centres.
    rtol : float, optional
        Allowed difference, relative to the largest derivative. Default: see Notes.
    random_state : int
        Seed of the directions and cotangents.

    Returns
    -------
    DerivativeReport

    Raises
    ------
    AssertionError
        If something does not agree; the message says what, for which structure, and by how much.

    Notes
    -----
    For float64 1e-6 are allowed. Two central differences with h = 2e-4 Å and 2h (1e-4 and 2e-4 for strain) are
    extrapolated to h = 0, which leaves an error of h^4 / 7.5 times the fifth derivative: about 1e-9 for features that
    change over 0.3 Å. Rounding adds 1e-15 X / h, so 1e-10 for features ten times larger than their derivatives. An
    error of 0.1 % in the derivative by one atom of a hundred is 1e-4, and found. For float32 features the differences
    are those of the same descriptor in float64, and 1e-4 are allowed: single precision has 6e-8, of which sums and
    products of many terms lose two or three digits.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import CoulombMatrix
    >>> report = check_derivatives(CoulombMatrix(n_atoms_max=3, permutation="none"), molecule("H2O"))
    """
    names = check_wrt(wrt)
    if is_structure(structures):
        structures, centers = as_list(structures), None if centers is None else [centers]
    dtype, local = descriptor._dtype(), isinstance(descriptor, LocalDescriptor)
    reference = copy.copy(descriptor)
    if dtype == np.float32:
        reference.set_params(dtype="float64")
    given: dict[str, Any] = {"centers": centers} if local else {}
    call = reference._call(structures, **given)
    check = _Check(_RTOL[dtype.name] if rtol is None else rtol, dtype)
    values = [attach] if isinstance(attach, bool | np.bool_) else list(attach)
    for moving in values if local else [True]:
        rng = np.random.default_rng(random_state)
        with_attach: dict[str, Any] = {"attach": moving} if local else {}
        label = f"attach={moving}: " if local else ""
        features = _parts(descriptor.create(structures, **given))
        *found, again = descriptor.derivatives(structures, wrt=names, **given, **with_attach)
        dense = {name: _parts(array) for name, array in zip(names, found, strict=True)}
        # Also with all features equally important: else large ones would hide errors of small ones.
        largest = np.max([np.abs(x).max(axis=tuple(range(x.ndim - 1)), initial=0) for x in features], axis=0)
        for s, x in enumerate(features):
            check.forms(f"features of structure {s}", "derivatives", _parts(again)[s], "create", x)
        forms = []
        for scale in (np.ones_like(largest), 1 / (largest + (0.01 * largest.max() or 1.0))):
            cotangents = [(rng.normal(size=x.shape) * scale).astype(dtype) for x in features]
            shaped = cotangents if len({c.shape for c in cotangents}) > 1 else np.array(cotangents)
            gradient = descriptor.vjp(structures, shaped, wrt=names, **given, **with_attach)
            forms.append((cotangents, {name: getattr(gradient, name) for name in names}))
            _check_contraction(check, label, dense, *forms[-1], features)
            if not local or descriptor._has_pairs():
                by_pairs = PairJacobian(descriptor.jacobian(structures, **given).blocks, call)  # by their values
                for name in names if local else names[:1] if names[0] == "positions" else ():
                    own = getattr(by_pairs.contract(shaped, wrt=name, attach=moving), name)
                    for s in range(len(features)):
                        where = f"{label}{name}, structure {s}"
                        noise = check.rounding(features[s], cotangents[s])
                        check.forms(where, "the contracted jacobian", own[s], "vjp", getattr(gradient, name)[s], noise)
        for s in range(len(features)):
            for name in names:
                _check_differences(
                    check,
                    f"{label}{name}, structure {s}",
                    _differences(reference, replace(call[s : s + 1], attach=moving), name, rng),
                    dense[name][s],
                    [(cotangents[s], gradients[name][s]) for cotangents, gradients in forms],
                    features[s],
                )
    return DerivativeReport(check.rtol, check.errors, check.constant)


class _Check:
    """Comparisons that remember the largest error of each kind, and fail with a message that can be read."""

    def __init__(self, rtol: float, dtype: np.dtype[Any]) -> None:
        self.rtol, self.rtol_of_forms = rtol, _RTOL_OF_FORMS[dtype.name]
        self.epsilon = float(np.finfo(dtype).eps)
        self.errors: dict[str, float] = {}
        self.constant = True

    def close(
        self, where: str, what: str, value: Any, expected: Any, scale: float, noise: float, rtol: float, note: str = ""
    ) -> None:
        """Compare arrays: differences may be ``rtol`` times ``scale``, and ``noise`` besides."""
        value, expected = np.asarray(value, dtype=float), np.asarray(expected, dtype=float)
        if value.shape != expected.shape:
            raise AssertionError(f"{where}: {what}: shapes differ: {value.shape} and {expected.shape}")
        if value.size == 0:
            return
        difference = np.abs(value - expected)
        worst = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), value.shape)
        allowed = scale + noise / rtol
        error = float(difference[worst] / allowed) if allowed > 0 else float(difference[worst] > 0)
        if not error <= rtol:
            place = f" at {tuple(map(int, worst))}" if value.ndim else ""
            raise AssertionError(
                f"{where}: {what}{place}: {value[worst]:.12g} and {expected[worst]:.12g} differ by {error:.1e} of the "
                f"largest value, {scale:.3g}; {rtol:.0e} are allowed{note}"
            )
        self.errors[what] = max(self.errors.get(what, 0.0), error)

    def rounding(self, features: Any, weights: Any = 1.0) -> float:
        """Return what rounding leaves where contributions to derivatives, each about a feature per Å, cancel."""
        return 64 * self.epsilon * float(np.abs(features).max(initial=0)) * float(np.linalg.norm(weights))

    def forms(self, where: str, what: str, value: Any, other: str, expected: Any, noise: float = 0.0) -> None:
        """Compare two results that should differ by rounding alone."""
        scale = float(np.abs(expected).max(initial=0))
        self.close(where, f"{what} against {other}", value, expected, scale, noise, self.rtol_of_forms)


def _check_contraction(
    check: _Check,
    label: str,
    dense: Mapping[str, Any],
    cotangents: Sequence[Any],
    gradients: Mapping[str, Any],
    features: Sequence[Any],
) -> None:
    for name, arrays in dense.items():
        for s, (array, weights) in enumerate(zip(arrays, cotangents, strict=True)):
            rows = array.reshape(-1, *array.shape[-3:]) if weights.ndim == 1 else array
            products = np.atleast_2d(weights)[:, None, None].astype(float) * rows.reshape(
                len(np.atleast_2d(weights)), *array.shape[-3:]
            )
            scale = float(np.sqrt((products**2).sum(axis=(0, -1))).max(initial=0))
            where, what = f"{label}{name}, structure {s}", "vjp against contracted derivatives"
            noise = check.rounding(features[s], weights)
            check.close(where, what, gradients[name][s], products.sum(axis=(0, -1)), scale, noise, check.rtol_of_forms)


def _check_differences(
    check: _Check,
    where: str,
    directions: Sequence[tuple[Any, Any, Any]],
    dense: Any,
    contracted: Sequence[tuple[Any, Any]],
    features: Any,
) -> None:
    """Compare derivatives of one structure with differences along some directions."""
    if features.size == 0:
        return
    step = _STEPS["positions" if "positions" in where else "strain"]
    noise = 64 * np.finfo(float).eps * float(np.abs(features).max(initial=0)) / step
    best = [(4 * single - double) / 3 for _, single, double in directions]
    scale = max(float(np.abs(slope).max(initial=0)) for slope in best)
    if scale > 10 * noise:
        check.constant = False
        if not dense.any():
            raise AssertionError(f"{where}: derivatives are all zero, but differences of the features are not")
    allowed = noise + check.rounding(features)
    for (direction, single, double), slope in zip(directions, best, strict=True):
        rough = float(np.abs(single - double).max(initial=0))
        if rough > _ROUGH * scale + noise:
            raise AssertionError(
                f"{where}: features are not smooth here: differences with steps {step:g} and {2 * step:g} are "
                f"{rough / scale:.1e} of the largest value apart; is an atom at a hard cutoff, or are values equal?"
            )
        apart = rough / (max(scale, noise) or 1.0)
        note = f" (differences with steps {step:g} and {2 * step:g} are {apart:.1e} apart"
        note += "; is an atom at a hard cutoff, or are values equal?)" if apart > 10 * check.rtol else ")"
        along = np.einsum("...abf,ab->...f", dense.astype(float), direction)
        what = "derivatives against differences"
        check.close(where, what, along.reshape(slope.shape), slope, scale, allowed, check.rtol, note)
        for weights, gradient in contracted:
            weights = weights.astype(float)
            # The size of a sum of terms with random signs, whatever it happens to be.
            size = max(float(np.linalg.norm(weights * other.reshape(weights.shape))) for other in best)
            rounding = noise * float(np.linalg.norm(weights)) + check.rounding(features, weights)
            value, expected = np.vdot(gradient, direction), np.vdot(weights, slope)
            check.close(where, "vjp against differences", value, expected, size, rounding, check.rtol, note)


def _differences(reference: Descriptor, one: Call, name: str, rng: np.random.Generator) -> list[tuple[Any, Any, Any]]:
    """Return directions, and the central differences of all rows along them with steps h and 2h."""
    step, n_atoms = _STEPS[name], len(one.batch.numbers)
    if name == "positions":
        directions = [*rng.normal(size=(_N_DIRECTIONS, n_atoms, 3)), np.tile(rng.normal(size=3), (n_atoms, 1))]
    else:
        directions = [*rng.normal(size=(_N_DIRECTIONS, 3, 3)), np.cross(np.eye(3), rng.normal(size=3))]
    found = []
    for direction in directions:
        moves = step * np.array([-2, -1, 1, 2])[:, None, None] * direction
        still = np.zeros((4, n_atoms, 3))
        displacements, strains = (moves, np.zeros((4, 3, 3))) if name == "positions" else (still, moves)
        copies = moved(reference, one, displacements, np.eye(3) + strains)
        values = np.empty((copies.n_rows, copies.n_features_out))
        reference._source(copies)._compute(copies, values)
        rows = values.reshape(4, -1, values.shape[1])
        found.append((direction, (rows[2] - rows[1]) / (2 * step), (rows[3] - rows[0]) / (4 * step)))
    return found


def _parts(result: Any) -> list[npt.NDArray[Any]]:
    """Return a result for several structures as one dense array for each."""
    if issparse(result):
        result = result.toarray()
    return [item.toarray() if issparse(item) else np.asarray(item) for item in result]

"""Powder diffraction patterns of X-rays and neutrons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.chemistry.scattering import WAVELENGTHS, neutron_length, xray_coefficients
from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.descriptors.engine.crystals import OfCrystals
from atomprint.layout import Axis, Block, Layout
from atomprint.structures import Batch, FloatArray, StructureError, Structures
from atomprint.util.registry import public
from atomprint.util.validation import check_bool, check_choice, check_integer, check_of_elements, check_real, meant

_LARGEST_GRID = 10**5
_NARROWEST = 1e-3  # steps of the grid, of the standard deviation: the Gaussians are tabulated
_REACH = 9.0  # standard deviations beyond which nothing is left of a Gaussian
_MOST_REFLECTIONS = 1e7
_SAME_ANGLE = 1e-5  # degrees: peaks closer than this are one
_FORM_FACTORS_END = 2.0  # 1/Å, of sin θ / λ
_RAD = np.pi / 180
_NORMALIZATIONS = {
    "none": _core.Diffraction.Normalization.none,
    "max": _core.Diffraction.Normalization.max,
    "area": _core.Diffraction.Normalization.area,
}


class Peaks(NamedTuple):
    """The lines of a powder pattern, by ascending angle.

    Parameters
    ----------
    two_theta : ndarray, shape (n_peaks,)
        Angles in degrees.
    intensity : ndarray, shape (n_peaks,)
        Intensities, the largest 100.
    spacing : ndarray, shape (n_peaks,)
        Distances of the lattice planes in Å.
    hkl : list of list of tuple of int
        Miller indices of the reflections of each peak, in the cell as it is given, one of each pair hkl and -h-k-l.
    """

    two_theta: FloatArray
    intensity: FloatArray
    spacing: FloatArray
    hkl: list[list[tuple[int, int, int]]]


@public("PowderDiffraction", version=1, in_recipes=True)
class PowderDiffraction(OfCrystals):
    r"""Powder diffraction pattern of a crystal, of X-rays or of neutrons.

    A reflection of the reciprocal lattice vector :math:`\mathbf G` is at :math:`\sin\theta = \lambda G / 4\pi`, with
    the intensity [1]_

    .. math:: I = \frac{L(\theta)}{V^2} \Big|\sum_j f_j(\sin\theta / \lambda)\, e^{-B_j (\sin\theta / \lambda)^2}
        e^{i \mathbf G \mathbf r_j} \Big|^2,

    with the scattering factors f of neutral atoms and the volume V of the cell. All reflections are spread as Gaussians
    over the angles :math:`2\theta`; a feature is the mean of the pattern over one step of the grid, so that no line is
    lost between two points.

    Parameters
    ----------
    radiation : {"x-ray", "neutron"}
        Scattering factors are form factors (hydrogen to californium), or coherent scattering lengths.
    wavelength : str or float
        In Å, or a characteristic line such as ``"CuKa"``, ``"MoKa"``, ``"CoKa1"``.
    two_theta : pair of float
        First and last angle of the grid, in degrees, from 0 to less than 180.
    n : int
        Number of angles.
    fwhm : float
        Full width at half maximum of the lines, in degrees.
    lorentz_polarization : bool
        Whether intensities have the factor L of a powder, :math:`1 / (\sin^2\theta \cos\theta)` for neutrons and
        :math:`(1 + \cos^2 2\theta) / (\sin^2\theta \cos\theta)` for unpolarised X-rays; else L = 1.
    debye_waller : float or dict, optional
        B in Å^2, for all atoms or by element. Default: none, atoms at rest.
    normalization : {"max", "area", "none"}
        Whether the highest point of a pattern is 100, or its area 1 (in degrees), or intensities are left as they are.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Neither the choice of the cell nor its repetition matters. The cell repeats along all three lattice vectors,
    whatever the ``pbc`` of a structure. Intensities, up to the scale, are those of pymatgen's ``NDCalculator``, and
    those of its ``XRDCalculator`` but for the table of form factors, which differs by about 1 %: of random cells lines
    differ by up to 2.6 where the highest is 100.

    Derivatives are analytical: lines move with the cell, and change their height with the positions. With
    ``normalization="max"`` there is a kink where two points of the pattern are equally high.

    There are no anomalous scattering, absorption, texture or multiplets: two wavelengths are two descriptors.

    References
    ----------
    .. [1] V. K. Pecharsky, P. Y. Zavalij, Fundamentals of Powder Diffraction and Structural Characterization of
       Materials, 2nd ed., Springer (2009), chapter 8.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import PowderDiffraction
    >>> salt = bulk("NaCl", "rocksalt", a=5.64)
    >>> PowderDiffraction("x-ray", two_theta=(10, 90), n=801).create(salt).shape
    (801,)
    >>> PowderDiffraction().peaks(salt).two_theta[:3].round(2)
    array([27.39, 31.73, 45.49])
    """

    _adds_up = False

    def __init__(
        self,
        radiation: str = "x-ray",
        wavelength: str | float = "CuKa",
        two_theta: tuple[float, float] = (0.0, 90.0),
        n: int = 361,
        fwhm: float = 0.5,
        lorentz_polarization: bool = True,
        debye_waller: Any = None,
        normalization: str = "max",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_choice("radiation", self.radiation, ("x-ray", "neutron"))
        low, high = self._range()
        check_integer("n", self.n, 2, _LARGEST_GRID)
        check_real("fwhm", self.fwhm, above=0, at_most=high - low)
        if self._sigma() < _NARROWEST * self._step():
            raise ValueError(f"fwhm must be at least {_NARROWEST:g} of the step {self._step():g}, got {self.fwhm:g}")
        check_bool("lorentz_polarization", self.lorentz_polarization)
        check_choice("normalization", self.normalization, _NORMALIZATIONS)
        self._debye_waller()
        wavelength = self._wavelength()
        if self.radiation == "x-ray" and np.sin(high / 2 * _RAD) / wavelength > _FORM_FACTORS_END:
            largest = 2 * np.degrees(np.arcsin(_FORM_FACTORS_END * wavelength))
            raise ValueError(
                f"two_theta must be <= {largest:.4g} with the wavelength {wavelength:g}: form factors are tabulated "
                f"for sin θ / λ <= {_FORM_FACTORS_END:g} / Å, got {high:g}"
            )

    def _wavelength(self) -> float:
        if isinstance(self.wavelength, str):
            if self.wavelength not in WAVELENGTHS:
                known = ", ".join(WAVELENGTHS)
                hint = meant(self.wavelength, WAVELENGTHS)
                raise ValueError(f"wavelength must be in Å or one of {known}, got {self.wavelength!r}{hint}")
            return WAVELENGTHS[self.wavelength]
        return check_real("wavelength", self.wavelength, above=0, at_most=1e3)

    def _range(self) -> tuple[float, float]:
        given = self.two_theta
        if not isinstance(given, tuple | list | np.ndarray) or np.shape(np.array(given, dtype=object)) != (2,):
            raise TypeError(f"two_theta must be a pair of numbers, got {given!r}")
        low = check_real("two_theta[0]", given[0], at_least=0)
        high = check_real("two_theta[1]", given[1], above=low)
        if not high < 180:
            raise ValueError(f"two_theta[1] must be < 180, got {high:g}")
        return low, high

    def _debye_waller(self) -> float | dict[int, float]:
        given = self.debye_waller
        if given is None:
            return 0.0
        if isinstance(given, int | float | np.number):
            return check_real("debye_waller", given, at_least=0)
        return check_of_elements("debye_waller", given, at_least=0)

    def _n_features(self) -> int:
        return int(self.n)

    def _grid(self) -> FloatArray:
        return np.linspace(*self._range(), int(self.n))

    def _layout(self) -> Layout:
        points, digits = self._grid(), 6
        while len(set(texts := [f"{x:.{digits}g}" for x in points])) < len(points):
            digits += 1
        groups = [f"{10 * int(x // 10)}–{10 * int(x // 10) + 10}°" for x in points]
        axis = Axis("diffraction angles", [f"two_theta={text}" for text in texts], groups)
        return Layout(type(self).__name__, [Block((), [axis])])

    def _check_batch(self, batch: Batch) -> None:
        factor = xray_coefficients if self.radiation == "x-ray" else neutron_length
        for z in np.unique(batch.numbers).tolist():
            if factor(z) is None:
                s, atom = batch.locate(int(np.argmax(batch.numbers == z)))
                kind = "form factor" if self.radiation == "x-ray" else "scattering length"
                raise StructureError(
                    s, atom, f"must be of an element with a tabulated {kind}, got {chemical_symbols[z]}"
                )
        high = min(self._range()[1] + _REACH * self._sigma() + 2 * self._step(), 180.0)
        radius = 4 * np.pi * np.sin(high / 2 * _RAD) / self._wavelength()
        numbers = radius**3 * np.abs(np.linalg.det(batch.cells)) / (6 * np.pi**2)
        if numbers.max() > _MOST_REFLECTIONS:
            s = int(numbers.argmax())
            rule = f"two_theta must reach at most {_MOST_REFLECTIONS:.0e} reflections, and reaches {numbers[s]:.0e}"
            raise StructureError(s, None, rule)

    def peaks(self, structure: Structures) -> Peaks:
        """Compute the lines between the first and the last angle, before they are broadened.

        Parameters
        ----------
        structure : structure
            One structure, as for :meth:`create`.

        Returns
        -------
        Peaks
            Lines less than 1e-5 degrees apart are one; those weaker than 1e-8 of the strongest are left out.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`.
        """
        call = self._call(structure)
        if len(call) != 1:
            raise ValueError(f"structure must be one structure, got {len(call)} of them")
        hkl, angles, intensities = self._kept(call).lines(call.batch.core(), *self._range())
        if not len(angles):
            return Peaks(np.empty(0), np.empty(0), np.empty(0), [])
        order = np.argsort(angles, kind="stable")
        hkl, angles, intensities = hkl[order], angles[order], intensities[order]
        starts = np.flatnonzero(np.diff(angles, prepend=-1.0) > _SAME_ANGLE)
        totals = np.add.reduceat(intensities, starts)
        kept = np.flatnonzero(totals > 1e-8 * totals.max())
        found = [np.array(rows).tolist() for rows in np.split(hkl, starts[1:])]
        two_theta = angles[starts][kept]
        return Peaks(
            two_theta,
            100 * totals[kept] / totals.max(),
            self._wavelength() / (2 * np.sin(two_theta / 2 * _RAD)),
            [[(h, k, m) for h, k, m in found[place]] for place in kept.tolist()],
        )

    # The core --------------------------------------------------------------------------------------------------------

    def _sigma(self) -> float:
        return float(self.fwhm) / float(np.sqrt(8 * np.log(2)))

    def _step(self) -> float:
        low, high = self._range()
        return (high - low) / (int(self.n) - 1)

    def _kept(self, call: Call) -> _core.Diffraction:
        """Return the calculator for the parameters that the call was prepared with."""
        return call.prepared.memo.once("calculator", self._calculator)

    def _calculator(self) -> _core.Diffraction:
        xrays = self.radiation == "x-ray"
        table, damping = np.zeros((len(chemical_symbols), 10)), self._debye_waller()
        for z in range(1, len(table)):
            if xrays and (coefficients := xray_coefficients(z)) is not None:
                table[z, :9] = coefficients
            elif not xrays:
                table[z, 8] = neutron_length(z) or 0.0
            table[z, 9] = damping.get(z, 0.0) if isinstance(damping, dict) else damping
        return _core.Diffraction(
            wavelength=self._wavelength(),
            lorentz=bool(self.lorentz_polarization),
            polarized=xrays,
            n=int(self.n),
            minimum=self._range()[0],
            spacing=self._step(),
            sigma=self._sigma(),
            normalization=_NORMALIZATIONS[self.normalization],
            factors=table,
        )

    def _compute(self, call: Call, out: Array) -> None:
        self._kept(call).compute(call.batch.core(), out, call.n_threads)

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        assert out.positions is not None
        derivatives = out.positions, out.strain, out.features
        self._kept(call).vjp(call.batch.core(), cotangents, *derivatives, call.n_threads)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        rows = call.selection.slots, call.selection.row_offsets
        self._kept(call).jacobian(call.batch.core(), *rows, *out, call.n_threads)

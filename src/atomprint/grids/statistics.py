"""One row of numbers for each volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.grids.volume import Volume
from atomprint.layout import Axis, Block, HasLayout, Layout, shell, symbols_of
from atomprint.structures import StructureError
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.scikit import Transformer
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_dtype, check_integer, check_length, check_names, check_species

STATISTICS = ("mean", "std", "min", "max", "skewness", "integral", "gradient")
_TEXTS = {"gradient": "gradient rms"}


@public("VolumeStatistics", version=1)
class VolumeStatistics(HasLayout, Transformer, CheckedParameters):
    """Statistics of all values of a volume, and its mean profile around atoms of each element.

    Parameters
    ----------
    species : sequence of str or int, optional
        Elements that may occur. Default: those seen in ``fit``.
    statistics : sequence of {"mean", "std", "min", "max", "skewness", "integral", "gradient"}
        Of the values at all points; ``"integral"`` over the volume of the grid, in Å³ times their unit; ``"gradient"``
        is the root of the mean square of the gradient, in their unit over Å, by central differences.
    r_max : float
        Largest radius of the profiles, in Å.
    n_radii : int
        Number of radii from 0 on; 0 for no profiles.
    n_directions : int
        As for :meth:`Volume.radial_profile`.
    dtype : {"float64", "float32"}
        Of the features.

    Notes
    -----
    Profiles are means over all atoms of an element, 0 where a structure has none of it. They do not change where a
    structure is turned or moved with its values, nor with the cell that was chosen for a crystal.
    """

    _samples = "volumes"

    def __init__(
        self,
        species: Any = None,
        statistics: Sequence[str] = ("mean", "std", "min", "max", "skewness", "gradient"),
        r_max: float = 3.0,
        n_radii: int = 13,
        n_directions: int = 100,
        dtype: str = "float64",
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        if self.species is not None:
            check_species(self.species)
        check_names("statistics", self.statistics, STATISTICS)
        check_length("r_max", self.r_max)
        check_integer("n_radii", self.n_radii, 0)
        check_integer("n_directions", self.n_directions, 1)
        check_dtype(self.dtype)

    def _species(self) -> tuple[int, ...]:
        species = check_species(self.species) if self.species is not None else getattr(self, "species_", None)
        if species is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("VolumeStatistics: species is not known: give it to the constructor or call fit first")
        return species

    def _radii(self) -> FloatArray:
        return np.linspace(0.0, float(self.r_max), int(self.n_radii))

    def _layout(self) -> Layout:
        blocks = [Block((), [Axis("statistics", [_TEXTS.get(name, name) for name in self.statistics])])]
        radii = self._radii()
        if len(radii):
            axis = Axis("radial shells", [f"r={r:.3g} Å" for r in radii], [shell(r) for r in radii])
            blocks += [Block((symbol,), [axis]) for symbol in symbols_of(self._species())]
        return Layout(type(self).__name__, blocks)

    def create(self, volumes: Any) -> npt.NDArray[Any]:
        """Compute the features.

        Parameters
        ----------
        volumes : Volume or sequence of Volume
            What :func:`read_volume` returns.

        Returns
        -------
        ndarray, shape (n_features,) or (n_volumes, n_features)

        Raises
        ------
        ValueError, TypeError
            If a volume is not usable: of elements that are not known, or with a profile that leaves a grid that does
            not repeat; the message names it.
        """
        if isinstance(volumes, Volume):
            return self._rows([volumes])[0]
        return self._rows(_listed(volumes))

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, and learn ``species`` from the volumes if it was left out."""
        self._validate()
        volumes = _listed(X)
        if self.species is None:
            self.species_ = tuple(sorted({int(z) for volume in volumes for z in volume.structure.numbers}))
        return self

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """Compute the features of a sequence of volumes; see :meth:`create`."""
        return self._rows(_listed(X))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> npt.NDArray[Any]:
        """Call ``fit`` and ``transform`` with the same volumes."""
        listed = _listed(X)
        return self.fit(listed, y).transform(listed)

    def __sklearn_is_fitted__(self) -> bool:
        return self.species is not None or hasattr(self, "species_")

    def _rows(self, volumes: Sequence[Volume]) -> npt.NDArray[Any]:
        species, radii = self._species(), self._radii()
        n = len(self.statistics)
        rows = np.zeros((len(volumes), n + len(species) * len(radii)))
        units = [volume.unit for volume in volumes]
        if other := next((index for index, unit in enumerate(units) if unit != units[0]), None):
            got = [units[k] or "one that is not known" for k in (0, other)]
            raise ValueError(f"volumes must have the same unit: that of 0 is {got[0]}, that of {other} {got[1]}")
        for index, (row, volume) in enumerate(zip(rows, volumes, strict=True)):
            numbers = volume.structure.numbers
            if (unknown := ~np.isin(numbers, species)).any():
                atom = int(np.argmax(unknown))
                known, got = ", ".join(symbols_of(species)), volume.structure.symbols[atom]
                raise StructureError(index, atom, f"species must be one of {known}, got {got}")
            row[:n] = [_statistic(volume, name) for name in self.statistics]
            if not len(radii):
                continue
            profiles = volume.radial_profile(radii, n_directions=self.n_directions)
            if (outside := np.isnan(profiles).any(axis=1)).any():
                rule = f"a sphere of {radii[-1]:g} Å leaves the grid, which does not repeat: give a smaller r_max"
                raise StructureError(index, int(np.argmax(outside)), rule)
            for k, z in enumerate(species):
                if (own := numbers == z).any():
                    row[n + k * len(radii) : n + (k + 1) * len(radii)] = profiles[own].mean(axis=0)
        return rows.astype(check_dtype(self.dtype))


def _listed(volumes: Any) -> list[Volume]:
    if isinstance(volumes, Volume):
        return [volumes]
    found = list(volumes)
    for index, item in enumerate(found):
        if not isinstance(item, Volume):
            raise TypeError(f"volumes must be Volume objects, got {type(item).__name__} at {index}")
    if not found:
        raise ValueError("volumes must hold at least one, got none")
    return found


def _statistic(volume: Volume, name: str) -> float:
    values = volume.values
    if name == "integral":
        return volume.integral()
    if name == "gradient":
        return float(np.sqrt((_gradient(volume) ** 2).sum(axis=-1).mean()))
    if name == "skewness":
        deviations = values - values.mean()
        size = float(np.sqrt((deviations**2).mean()))
        flat = size <= 1e-12 * float(np.abs(values).max())
        return 0.0 if flat else float((deviations**3).mean()) / size**3
    return float(getattr(values, name)())


def _gradient(volume: Volume) -> FloatArray:
    """Return the gradient at each point, by central differences."""
    values, differences = volume.values, []
    for axis, n in enumerate(values.shape):
        if volume.periodic:
            difference = (np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2
        else:
            difference = np.gradient(values, axis=axis) if n > 1 else np.zeros_like(values)
        differences.append(difference)
    # Steps are rows: the difference along step k is the gradient times that step.
    return np.asarray(np.stack(differences, axis=-1) @ np.linalg.inv(volume.steps).T)

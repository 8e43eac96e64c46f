"""A structure with a number at each point of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from atomprint.util.types import FloatArray
from atomprint.util.validation import check_integer

_SAME = 1e-4  # Å by which a grid may differ from the cell and still repeat with it: files round


class Volume:
    """A structure with a number at each point of a grid, such as a density or a potential.

    Point (i, j, k) is at ``origin + i * steps[0] + j * steps[1] + k * steps[2]``. Where the grid has the vectors of a
    cell that repeats, it repeats with it.

    Parameters
    ----------
    values : array-like, shape (x, y, z)
        The numbers, in any unit.
    structure : Atoms
        The atoms, and their cell.
    origin : sequence of three float
        Position of the first point, in Å.
    vectors : array-like, shape (3, 3), optional
        What the grid spans, in Å: as many steps as points along each axis. Default: the cell.
    unit : str, optional
        What the values are in, such as ``"1/Å^3"``. Default: it is not known.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, values are not finite, or the grid has no volume.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import DensityGrid
    >>> from atomprint.grids import Volume
    >>> copper = bulk("Cu")
    >>> grid = DensityGrid(["Cu"], 12)
    >>> density = Volume(grid.as_grids(grid.create(copper))[0], copper)
    >>> density.periodic, round(density.integral(), 4)
    (True, 1.0)
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        structure: Atoms,
        origin: npt.ArrayLike = (0.0, 0.0, 0.0),
        vectors: npt.ArrayLike | None = None,
        unit: str | None = None,
    ) -> None:
        if not isinstance(structure, Atoms):
            raise TypeError(f"structure must be an ase.Atoms, got {type(structure).__name__}")
        if np.iscomplexobj(values):
            raise TypeError("values must be real, got complex numbers: take their real part or their size")
        if unit is not None and not isinstance(unit, str):
            raise TypeError(f"unit must be a text or None, got {unit!r}")
        self.values: FloatArray = np.asarray(values, dtype=np.float64)
        self.unit = unit
        if self.values.ndim != 3 or not self.values.size:
            raise ValueError(f"values must have shape (x, y, z), got {self.values.shape}")
        if not np.isfinite(self.values).all():
            where = np.unravel_index(int(np.argmin(np.isfinite(self.values))), self.values.shape)
            raise ValueError(f"values must be finite, got {self.values[where]} at {tuple(map(int, where))}")
        self.structure = structure
        self.origin: FloatArray = np.array(origin, dtype=np.float64)
        self.vectors: FloatArray = np.array(structure.cell if vectors is None else vectors, dtype=np.float64)
        if self.origin.shape != (3,) or self.vectors.shape != (3, 3):
            got = f"{self.origin.shape} and {self.vectors.shape}"
            raise ValueError(f"origin must have shape (3,) and vectors (3, 3), got {got}")
        if not abs(np.linalg.det(self.vectors)) > 0:
            raise ValueError(f"vectors must span a volume, got {self.vectors.tolist()}")

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        unit = "" if self.unit is None else f" in {self.unit}"
        return f"Volume({self.structure.get_chemical_formula()}, {shape} points{unit})"

    @property
    def steps(self) -> FloatArray:
        """Vectors from a point to the next along each axis, in Å, shape (3, 3)."""
        return self.vectors / np.array(self.values.shape)[:, None]

    @property
    def periodic(self) -> bool:
        """Whether the grid repeats with the cell."""
        cell = self.structure.cell.array
        return bool(self.structure.pbc.all()) and bool(np.abs(cell - self.vectors).max() < _SAME)

    def points(self) -> FloatArray:
        """Return the positions of all points in Å, shape (x, y, z, 3)."""
        indices = np.moveaxis(np.indices(self.values.shape), 0, -1)
        return np.asarray(self.origin + indices @ self.steps)

    def integral(self) -> float:
        """Return the sum of all values times the volume of a point, in Å³ times the ``unit`` of the values.

        Of a density in 1/Å³ this is a number of electrons; of one in 1/bohr³ it is 0.148 times that.
        """
        return float(self.values.sum() * abs(np.linalg.det(self.steps)))

    def at(self, points: npt.ArrayLike, order: int = 3) -> FloatArray:
        """Return values between the points of the grid, by splines.

        Parameters
        ----------
        points : array-like, shape (..., 3)
            Positions in Å.
        order : int
            Degree of the splines: 3 (cubic) follows smooth values with an error of the fourth order in the steps; 1 is
            linear and makes no value that is beyond its neighbours; 0 takes the nearest.

        Returns
        -------
        ndarray, shape (...)
            nan outside of a grid that does not repeat.
        """
        from scipy.ndimage import map_coordinates

        places = np.asarray(points, dtype=np.float64)
        if places.shape[-1:] != (3,):
            raise ValueError(f"points must have shape (..., 3), got {places.shape}")
        if not np.isfinite(places).all():
            wrong = places[~np.isfinite(places).all(axis=-1)][0]
            raise ValueError(f"points must be finite, got {wrong.tolist()}")
        check_integer("order", order, 0, 5)
        indices = ((places - self.origin) @ np.linalg.inv(self.steps)).reshape(-1, 3).T
        if self.periodic:
            found = map_coordinates(self.values, indices, order=order, mode="grid-wrap")
        else:
            last = np.array(self.values.shape)[:, None] - 1
            outside = ((indices < -1e-9) | (indices > last + 1e-9)).any(axis=0)
            found = map_coordinates(self.values, np.clip(indices, 0, last), order=order, mode="mirror")
            found[outside] = np.nan
        return np.asarray(found).reshape(places.shape[:-1])

    def radial_profile(
        self, radii: npt.ArrayLike, atoms: Any = None, *, n_directions: int = 200, order: int = 3
    ) -> FloatArray:
        """Return means over spheres around atoms.

        Parameters
        ----------
        radii : array-like, shape (n_radii,)
            Of the spheres, in Å.
        atoms : sequence of int, optional
            Indices of the atoms. Default: all.
        n_directions : int
            Over how many points of a sphere, which are evenly spread, the mean is.
        order : int
            As for :meth:`at`.

        Returns
        -------
        ndarray, shape (n_atoms, n_radii)
            nan where a part of the sphere is outside of a grid that does not repeat.
        """
        distances = np.asarray(radii, dtype=np.float64)
        if distances.ndim != 1 or not (np.isfinite(distances) & (distances >= 0)).all():
            raise ValueError(f"radii must be a sequence of numbers >= 0, got {radii!r}"[:200])
        n_atoms = len(self.structure)
        chosen = list(range(n_atoms)) if atoms is None else [check_integer("atoms", k, 0, n_atoms - 1) for k in atoms]
        directions = _directions(check_integer("n_directions", n_directions, 1))
        spheres = distances[:, None, None] * directions
        positions = self.structure.positions[chosen]
        return self.at(positions[:, None, None] + spheres, order).mean(axis=-1)


def _directions(n: int) -> FloatArray:
    """Return unit vectors that are evenly spread, on a spiral of golden angles."""
    heights = 1 - (2 * np.arange(n) + 1) / n
    angles = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - heights**2)
    return np.column_stack([across * np.cos(angles), across * np.sin(angles), heights])

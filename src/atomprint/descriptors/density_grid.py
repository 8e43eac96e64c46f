"""Densities of Gaussians on a grid: structures as images with three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.layout import Axis, Block, Layout, symbols_of
from atomprint.neighbours import find_around
from atomprint.ragged import offsets_of, owners
from atomprint.structures import Batch, StructureError, Structures, Warn, checked, read_checked, warn_user
from atomprint.util.memo import memo_of
from atomprint.util.registry import public
from atomprint.util.validation import check_choice, check_filled, check_integer, check_of_elements, check_real

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_CUTOFF = 6.0  # sigmas: what is left out there is less than float32 can tell
_MOST_POINTS = 2**27
_SPACING = 1.5  # sigmas from point to point, up to which a grid sees an atom to 2e-3, wherever it is


@public("DensityGrid", version=1, in_recipes=True)
class DensityGrid(Descriptor):
    r"""Density of atoms on a grid, as convolutional networks take it: one channel for each element.

    An atom is a Gaussian whose integral is 1 (or its weight in a channel),

    .. math::

        \rho(r) \propto e^{-u} - e^{-u_c} (1 + u_c - u), \quad u = r^2 / 2 \sigma^2 \le u_c = 18,

    which ends at :math:`6 \sigma` without a step or a kink, and is higher by 7e-6 than a Gaussian without end. The
    features are its values at the points of a grid, in 1/Å³, all of one channel after the other; :meth:`as_grids` gives
    them the shape (n, channels, x, y, z). Summed over the points and times the volume of one, they give the number of
    atoms: to 2e-3 where points are 1.5 sigma apart along each axis, 2e-7 at 1 sigma. Where they are farther apart, the
    grid sees more or less of an atom by where it is, and ``create`` warns.

    Parameters
    ----------
    species : sequence of str or int, optional
        Elements that may occur. Default: those seen in ``fit``.
    shape : int or sequence of three int, optional
        Number of points along the lattice vectors: point (i, j, k) is at the fractions i/n, j/n, k/n, as in files of
        VASP. The cell repeats along all vectors, whatever the ``pbc`` of a structure. Without it there is a box.
    box : float or sequence of three float, optional
        Lengths along x, y and z of a box around the ``center``, in Å; of periodic structures it shows the images, too.
        A point is in the middle of each of its voxels. What is outside is not seen.
    resolution : float, optional
        Length of a voxel of a box, in Å; the box becomes as much longer as is needed for a whole number of them.
    center : {"atoms"} or int or sequence of three float
        Centre of a box: the mean position of all atoms; the atom with this index; a point in Å.
    sigma : float or dict
        Width of the Gaussians in Å, or one for each element.
    channels : {"elements", "total"} or dict of dict
        A channel for each element; a single one for all atoms; or channels with names, and the weight of elements in
        each: ``{"anions": {"O": 1.0, "F": 1.0}, "charge": {"Na": 1.0, "O": -2.0}}``. Others have no weight.
    periodic : "auto" or bool
        As for :class:`SOAP`; with ``shape`` the cell always repeats.
    sparse : bool
        Whether to return SciPy sparse arrays, as boxes are mostly empty.
    dtype : {"float32", "float64"}
        Of the features. Each atom's part is computed in double precision and added in this one.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Rows are as large as grids are: 4 channels of 64 x 64 x 64 points have 4 MB in float32. ``create`` refuses what does
    not fit into memory before it begins, ``iter_create`` streams, and ``out`` may be a memory map.

    A grid turns and moves with the cell, or not at all: features change where a molecule is turned, or where another
    atom is the origin of a cell. Models have to learn that from turned copies.

    Derivatives by positions and strain are analytical; contracted (``vjp``) they cost no more memory than the features.
    The points of a cell stay at their fractions under strain, and those of a box at their place around the centre.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from atomprint.descriptors import DensityGrid
    >>> salt = bulk("NaCl", "rocksalt", 5.64)
    >>> grid = DensityGrid(["Na", "Cl"], shape=16)
    >>> density = grid.as_grids(grid.create([salt]))
    >>> density.shape
    (1, 2, 16, 16, 16)
    >>> print((density.sum(axis=(2, 3, 4)) * salt.get_volume() / 16**3).round(4))
    [[1. 1.]]
    >>> around = DensityGrid(["H", "O"], box=8.0, resolution=0.25)
    >>> around.as_grids(around.create(molecule("H2O"))).shape
    (2, 32, 32, 32)
    """

    def __init__(
        self,
        species: Any = None,
        shape: Any = None,
        *,
        box: Any = None,
        resolution: float | None = None,
        center: Any = "atoms",
        sigma: Any = 0.5,
        channels: Any = "elements",
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: str = "float32",
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if (self.shape is None) == (self.box is None):
            got = "neither" if self.shape is None else "both"
            raise ValueError(f"shape (a grid of the cell) or box (one around a centre) must be given, got {got}")
        if (self.box is None) != (self.resolution is None):
            raise ValueError(f"resolution must be given with box and with it only, got {self.resolution}")
        if self.shape is not None and (self.periodic is False or not _is(self.center, "atoms")):
            name, value = ("periodic", False) if self.periodic is False else ("center", self.center)
            raise ValueError(f"{name} is for a box: with shape the cell is the grid and repeats, got {value!r}")
        self._center()
        shape = self._grid().shape
        if (n := int(np.prod(shape, dtype=np.float64))) > _MOST_POINTS:
            raise ValueError(f"the grid must have at most {_MOST_POINTS} points, got {n}: {shape}")
        if isinstance(self.sigma, Mapping):
            check_of_elements("sigma", self.sigma, above=0)
        else:
            check_real("sigma", self.sigma, above=0)
        self._named_channels()

    # What follows from the parameters ----------------------------------------------------------------------------

    def _center(self) -> int | FloatArray | None:
        """Return the atom or the point that a box is around, None for the mean of all atoms."""
        given = self.center
        if isinstance(given, str):
            check_choice("center", given, ("atoms",))
            return None
        if isinstance(given, list | tuple | np.ndarray):
            if len(given) != 3:
                raise ValueError(f"center must be three numbers, got {given!r}")
            return np.array([check_real(f"center[{k}]", value) for k, value in enumerate(given)])
        return check_integer("center", given, 0)

    def _grid(self) -> _Grid:
        """Return the number of points along the axes, and the lengths of a voxel of a box."""
        if self.shape is not None:
            shape = [check_integer(f"shape[{k}]", n, 1) for k, n in enumerate(_three("shape", self.shape))]
            return _Grid((shape[0], shape[1], shape[2]), None)
        step = check_real("resolution", self.resolution, above=0)
        lengths = [check_real(f"box[{k}]", value, above=0) for k, value in enumerate(_three("box", self.box))]
        counts = [max(1, int(np.ceil(length / step - 1e-6))) for length in lengths]
        return _Grid((counts[0], counts[1], counts[2]), step)

    def _named_channels(self) -> Mapping[str, Mapping[int, float]] | None:
        """Return the weights of elements in channels by name, None where elements are channels."""
        if isinstance(self.channels, str):
            check_choice("channels", self.channels, ("elements", "total"))
            return None
        found = {}
        for name, weights in check_filled("channels", self.channels).items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"channels must have names, got {name!r}")
            found[name] = check_of_elements(f"channels: {name}", weights)
        return found

    def _channels(self) -> tuple[tuple[str, ...], FloatArray]:
        """Return the names of channels, and the weight of each species in each, shape (n_species, n_channels)."""
        species = self._species()
        named = self._named_channels()
        if named is None:
            if self.channels == "total":
                return ("total",), np.ones((len(species), 1))
            return symbols_of(species), np.eye(len(species))
        return tuple(named), np.array([[weights.get(z, 0.0) for weights in named.values()] for z in species])

    def _sigmas(self) -> FloatArray:
        """Return the width of each species."""
        species = self._species()
        if not isinstance(self.sigma, Mapping):
            return np.full(len(species), float(self.sigma))
        given = check_of_elements("sigma", self.sigma, above=0)
        missing = [symbol for z, symbol in zip(species, symbols_of(species), strict=True) if z not in given]
        if missing:
            raise ValueError(f"sigma must have a value for each element, got none for {', '.join(missing)}")
        return np.array([given[z] for z in species])

    def _n_features(self) -> int:
        return len(self._channels()[0]) * int(np.prod(self._grid().shape))

    def _layout(self) -> Layout:
        shape = self._grid().shape
        places = np.indices(shape).reshape(3, -1)
        axes = [
            Axis(f"planes across {axis}", [f"{axis}={k}" for k in range(n)], levels=level)
            for axis, n, level in zip("xyz", shape, places, strict=True)
        ]
        return Layout(type(self).__name__, [Block((name,), axes) for name in self._channels()[0]])

    @property
    def grid_shape(self) -> tuple[int, int, int, int]:
        """Number of channels, and of points along the three axes."""
        return len(self._channels()[0]), *self._grid().shape

    def as_grids(self, rows: Array) -> Array:
        """Return rows of features as grids: a view, shape (..., n_channels, x, y, z).

        Parameters
        ----------
        rows : ndarray, shape (..., n_features)
            What :meth:`create` returned, or derivatives of it.
        """
        values = np.asarray(rows)
        if values.shape[-1:] != (self.get_number_of_features(),):
            raise ValueError(f"rows must have {self.get_number_of_features()} features, got shape {values.shape}")
        return values.reshape(*values.shape[:-1], *self.grid_shape)

    # What is computed --------------------------------------------------------------------------------------------

    def _periodic(self) -> bool | None:
        return True if self.shape is not None else super()._periodic()

    def _read(self, structures: Structures, n_threads: int = 1, warn: Warn = warn_user) -> Batch:
        if self.shape is None:
            batch = super()._read(structures, n_threads, warn)
        else:
            batch, _ = read_checked(structures, True, warn, n_threads)
            if not batch.pbc.all():
                batch = checked(replace(batch, pbc=np.ones_like(batch.pbc)), True, n_threads=n_threads)
        self._tell_of_coarse(batch, warn)
        return batch

    def _tell_of_coarse(self, batch: Batch, warn: Warn) -> None:
        """Warn where points are so far apart that the grid sees more or less of an atom by where it is."""
        shape, step = self._grid()
        numbers, narrowest = np.unique(batch.numbers), self.sigma
        if isinstance(self.sigma, Mapping):
            given = check_of_elements("sigma", self.sigma, above=0)
            narrowest = min((given[z] for z in numbers.tolist() if z in given), default=np.inf)
        widest = _SPACING * float(narrowest)
        rule = f"more than {_SPACING:g} sigma ({widest:.3g} Å): atoms between them are lost in part"
        if step is not None:
            if step > widest * (1 + 1e-9):
                warn(f"resolution: points are {step:.3g} Å apart, {rule}; give a finer resolution or a larger sigma")
            return
        lengths = np.linalg.norm(batch.cells, axis=2)
        steps = (lengths / np.array(shape)).max(axis=1)
        coarse = np.count_nonzero(steps > widest * (1 + 1e-9))
        if coarse:
            s = int(steps.argmax())
            wanted = np.ceil(lengths[s] / widest - 1e-6).astype(int).tolist()
            among = f"; {coarse} structures have such grids" if coarse > 1 else ""
            warn(
                f"structure {s}: points are up to {steps[s]:.3g} Å apart, {rule}; give a shape of at least "
                f"{tuple(np.maximum(wanted, 1).tolist())} or a larger sigma{among}"
            )

    def _check_batch(self, batch: Batch) -> None:
        center = self._center()
        if isinstance(center, int) and (short := batch.n_atoms <= center).any():
            s = int(np.argmax(short))
            raise StructureError(
                s, None, f"must have the atom that is the center, {center}, got {batch.n_atoms[s]} atoms"
            )

    def _placed(self, call: Call) -> _Placed:
        """Return the Gaussians of all atoms, and the points of the grids."""
        names, table = memo_of(self).once("channels", self._channels)
        sigmas = memo_of(self).once("sigmas", self._sigmas)
        shape, step = self._grid()
        batch, n = call.batch, len(call)
        if step is None:
            inverse = np.linalg.inv(batch.cells)
            own = owners(batch.offsets)
            fractions = np.einsum("ia,iab->ib", batch.positions, inverse[own])
            positions = batch.positions - np.einsum("ia,iab->ib", np.floor(fractions), batch.cells[own])
            atoms, offsets = np.arange(len(batch.numbers)), batch.offsets
            arms = None
            origins, steps = np.zeros((n, 3)), batch.cells / np.array(shape)[:, None]
            wraps = np.ones((n, 3), dtype=np.bool_)
        else:
            points = self._points(batch)
            reach = 0.5 * step * float(np.linalg.norm(shape)) + _CUTOFF * float(sigmas.max())
            pairs = find_around(batch, points, np.arange(n + 1), reach, call.n_threads)
            positions, atoms = pairs.vectors, batch.offsets[pairs.structures] + pairs.second
            offsets = offsets_of(np.bincount(pairs.structures, minlength=n))
            # A point stays where it is under strain, and so vectors from it change as positions do.
            arms = positions + points[pairs.structures] if isinstance(self._center(), np.ndarray) else positions
            origins = np.tile(0.5 * step * (1 - np.array(shape)), (n, 1))
            steps, wraps = np.tile(step * np.eye(3), (n, 1, 1)), np.zeros((n, 3), dtype=np.bool_)
        # An atom is a Gaussian in each of its channels.
        species = call.species[atoms]
        which, channels = np.nonzero(table[species])
        if len(which) != len(atoms) or not np.array_equal(which, np.arange(len(atoms))):
            counts = np.bincount(owners(offsets)[which], minlength=n)
            positions, atoms, species, offsets = positions[which], atoms[which], species[which], offsets_of(counts)
            arms = None if arms is None else arms[which]
        gaussians = _core.Gaussians(
            np.ascontiguousarray(positions),
            channels.astype(np.int32),
            table[species, channels],
            sigmas[species],
            offsets,
            origins,
            np.ascontiguousarray(steps),
            wraps,
            shape,
            len(names),
            _CUTOFF,
        )
        return _Placed(gaussians, atoms, offsets, arms)

    def _points(self, batch: Batch) -> FloatArray:
        """Return the centre of the box of each structure."""
        center = self._center()
        if center is None:
            return np.add.reduceat(batch.positions, batch.offsets[:-1], axis=0) / batch.n_atoms[:, None]
        if isinstance(center, int):
            return np.ascontiguousarray(batch.positions[batch.offsets[:-1] + center])
        return np.tile(center, (len(batch), 1))

    def _compute(self, call: Call, out: Any) -> None:
        _core.density(self._placed(call).gaussians, out, call.n_threads)

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        placed = self._placed(call)
        if out.features is not None:
            _core.density(placed.gaussians, out.features, call.n_threads)
        several = cotangents.ndim == 3
        for k, weights in enumerate(cotangents if several else cotangents[None]):
            slopes, virials = np.empty((len(placed.atoms), 3)), np.empty((len(placed.atoms), 3, 3))
            _core.density_vjp(placed.gaussians, np.ascontiguousarray(weights), slopes, virials, call.n_threads)
            positions = out.positions[k] if several and out.positions is not None else out.positions
            strain = out.strain[k] if several and out.strain is not None else out.strain
            if positions is not None:
                np.add.at(positions, placed.atoms, slopes)
                positions -= self._of_center(call.batch, placed.totals(slopes))
            if strain is not None:
                strain += placed.totals(virials if placed.arms is None else slopes[:, :, None] * placed.arms[:, None])

    def _of_center(self, batch: Batch, totals: FloatArray) -> FloatArray | float:
        """Return what atoms owe to a box that moves with them, of totals of each structure."""
        center = self._center()
        if self.shape is not None or isinstance(center, np.ndarray):
            return 0.0
        if center is None:
            return np.asarray((totals / batch.n_atoms[:, None])[owners(batch.offsets)])
        found = np.zeros((len(batch.numbers), 3))
        found[batch.offsets[:-1] + center] = totals
        return found

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        placed, selection = self._placed(call), call.selection
        ones = np.ones(len(placed.atoms))
        if out.features is not None:
            _core.density(placed.gaussians, out.features, call.n_threads)
        if out.positions is not None:
            slots = selection.slots[placed.atoms]
            rows = np.where(slots < 0, -1, selection.row_offsets[:-1][owners(placed.offsets)] + slots)
            _core.density_slopes(placed.gaussians, rows, ones, out.positions, call.n_threads)
            self._let_box_move(call, placed, out.positions)
        if out.strain is not None:
            arms = None if placed.arms is None else np.ascontiguousarray(placed.arms)
            _core.density_strain(placed.gaussians, arms, out.strain, call.n_threads)

    def _let_box_move(self, call: Call, placed: _Placed, derivatives: Array) -> None:
        """Take from the derivatives by atoms what they owe to a box that moves with them."""
        center, selection = self._center(), call.selection
        if self.shape is not None or isinstance(center, np.ndarray):
            return
        total = np.empty((1, 3, call.n_features), dtype=call.dtype)
        for s in range(len(call)):
            own = slice(placed.offsets[s], placed.offsets[s + 1])
            rows = np.full(len(placed.atoms), -1)
            rows[own] = 0
            total[:] = 0
            _core.density_slopes(placed.gaussians, rows, np.ones(len(rows)), total, 1)
            first, last = selection.row_offsets[s], selection.row_offsets[s + 1]
            if center is None:
                derivatives[first:last] -= total / call.batch.n_atoms[s]
            elif (slot := selection.slots[call.batch.offsets[s] + center]) >= 0:
                derivatives[first + slot] -= total[0]


class _Grid(NamedTuple):
    """The shape of a grid, and the length of a voxel where it is a box."""

    shape: tuple[int, int, int]
    step: float | None


class _Placed(NamedTuple):
    """Gaussians on grids: of which atom of the batch each is, and by what its position changes under strain."""

    gaussians: _core.Gaussians
    atoms: Indices
    offsets: Indices
    arms: FloatArray | None

    def totals(self, values: FloatArray) -> FloatArray:
        """Return the sum over the Gaussians of each structure, of which there may be none."""
        found = np.zeros((len(self.offsets) - 1, *values.shape[1:]))
        np.add.at(found, owners(self.offsets), values)
        return found


def _is(value: Any, text: str) -> bool:
    return isinstance(value, str) and value == text


def _three(name: str, value: Any) -> list[Any]:
    """Return one value for each axis."""
    if not isinstance(value, list | tuple | np.ndarray):
        return [value] * 3
    if len(value) != 3:
        raise ValueError(f"{name} must be one number or three, got {value!r}")
    return list(value)

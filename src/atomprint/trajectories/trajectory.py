"""A trajectory: the same atoms in frames that come at even times, read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from atomprint.descriptors.engine.contract import Descriptor
from atomprint.structures import Batch, StructureError
from atomprint.trajectories.files import FORMATS, frames_of
from atomprint.util.types import FloatArray, Indices, PathOrStr
from atomprint.util.validation import check_choice, check_integer, check_real, species_number

Frames = PathOrStr | Sequence[Atoms] | Batch | Callable[[], Iterable[Atoms]]

_EVEN = 1e-3  # of the time between frames: what rounding may do to the times in a file


class FrameError(StructureError):
    """A frame that cannot be one of its trajectory."""

    noun = "frame"


class Trajectory:
    """The same atoms in frames that come at even times.

    A file is read anew, frame by frame, by each loop over the trajectory, and never held as a whole. Each frame is
    checked: it has the elements, in their order, and the periodicity of the first, and positions that are finite. Where
    frames tell their steps or times (dumps of LAMMPS; ``step``, ``time`` or ``time_ps`` in extended xyz), these have to
    be even.

    Parameters
    ----------
    source : path, sequence of Atoms, Batch or callable
        A file: extended xyz, ASE's ``.traj``, VASP's XDATCAR, a dump of LAMMPS as text (all of these also compressed),
        or another that ASE reads; frames in memory; or a function that returns a new iterator over them each time.
    time_step : float
        Time from one frame of the source to the next, in fs: not the time step of the simulation, where this wrote one
        frame of several.
    start, stop : int
        First frame, and the first that is not one any more, counted from 0. Default: all.
    every : int
        One frame of so many.
    format : {"extxyz", "traj", "xdatcar", "lammps"}, optional
        Of the file. Default: what its name and its first line tell.
    species : sequence of str or int, optional
        The element of each type of atom in a dump of LAMMPS, from type 1 on. Default: what the dump says by columns
        ``element`` or ``mass``.
    units : {"metal", "real"}, optional
        Units of a dump of LAMMPS that does not tell them.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable, or, when it is read, a frame (:class:`FrameError` names it).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.trajectories import Trajectory
    >>> frames = [bulk("Cu") for _ in range(5)]
    >>> trajectory = Trajectory(frames, time_step=2.0)[1:]
    >>> trajectory.n_frames, trajectory.interval
    (4, 2.0)
    """

    def __init__(
        self,
        source: Frames,
        time_step: float,
        *,
        start: int = 0,
        stop: int | None = None,
        every: int = 1,
        format: str | None = None,
        species: Sequence[str | int] | None = None,
        units: str | None = None,
    ) -> None:
        if isinstance(source, str | PathLike):
            source = Path(source)
            if not source.is_file():
                raise FileNotFoundError(f"no such file: {str(source)!r}")
            if format is not None:
                check_choice("format", format, FORMATS)
        else:
            for name, value in (("format", format), ("species", species), ("units", units)):
                if value is not None:
                    raise ValueError(f"{name} is for files, got {value!r} for {type(source).__name__}")
            if isinstance(source, Iterator):
                got = f"got {type(source).__name__}: give a list, or a function that returns a new one"
                raise TypeError(f"source must be something that can be read several times, {got}")
            if isinstance(source, Atoms) or not (callable(source) or isinstance(source, Iterable)):
                raise TypeError(f"source must be a file or a sequence of Atoms, got {type(source).__name__}")
        self.source = source
        self.time_step = check_real("time_step", time_step, above=0)
        self.start, self.every = check_integer("start", start, 0), check_integer("every", every, 1)
        self.stop = None if stop is None else check_integer("stop", stop, start)
        self._reading = {"format": format, "species": species, "units": units}
        self._first: Atoms | None = None
        self._n_frames: int | None = None

    def __repr__(self) -> str:
        source = self.source.name if isinstance(self.source, Path) else type(self.source).__name__
        return f"Trajectory({source}, a frame each {self.interval:g} fs)"

    @property
    def interval(self) -> float:
        """Time from one frame to the next, in fs."""
        return self.time_step * self.every

    @property
    def first(self) -> Atoms:
        """The first frame."""
        if self._first is None:
            found = next(iter(self), None)
            if found is None:
                raise ValueError(f"source must have a frame from {self.start} on, got none")
            self._first = found.copy()  # a generator may move the same Atoms
        return self._first

    @property
    def n_frames(self) -> int:
        """Number of frames; a file is read once to count them."""
        if self._n_frames is None:
            self._n_frames = sum(1 for _ in self)
        return self._n_frames

    def __getitem__(self, key: slice) -> Trajectory:
        """Return a part of the trajectory; nothing is read."""
        if not isinstance(key, slice):
            raise TypeError(f"a trajectory can only be sliced, got {key!r}: next(iter(trajectory[{key!r}:])) is one")
        begin = check_integer("start of a slice", 0 if key.start is None else key.start, 0)
        every = check_integer("step of a slice", 1 if key.step is None else key.step, 1)
        ends = [] if self.stop is None else [self.stop]
        if key.stop is not None:
            ends.append(self.start + self.every * check_integer("stop of a slice", key.stop, begin))
        part = object.__new__(Trajectory)
        part.__dict__.update(self.__dict__, _first=None, _n_frames=None)
        part.start, part.every = self.start + self.every * begin, self.every * every
        part.stop = max(part.start, min(ends)) if ends else None
        return part

    def __iter__(self) -> Iterator[Atoms]:
        """Yield each frame, checked."""
        if isinstance(self.source, Path):
            frames: Iterable[Atoms] = frames_of(self.source, **self._reading)  # type: ignore[arg-type]
        else:
            frames = self.source() if callable(self.source) else self.source
        check = _Even(self.time_step)
        # All frames up to the end are looked at, also those that are passed over: they show whether times are even.
        for index, atoms in enumerate(islice(frames, self.stop)):
            check(index, atoms)
            if index >= self.start and (index - self.start) % self.every == 0:
                yield atoms

    def describe(
        self, descriptor: Descriptor, *, chunk: int | None = None, n_jobs: int | None = None
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the features of the frames, piece by piece.

        Parameters
        ----------
        descriptor : Descriptor
            Of structures, of atoms, or pooled.
        chunk, n_jobs
            As for :meth:`~atomprint.descriptors.Descriptor.iter_create`.

        Yields
        ------
        ndarray, shape (n_frames, n_features) or (n_frames, n_atoms, n_features)
            Of the next frames; the second of descriptors that have a row for each atom.
        """
        n_centers: int | None = None
        piece: Any
        for piece in descriptor.iter_create(self, chunk=chunk, n_jobs=n_jobs):
            values = getattr(piece, "values", None)
            if values is None or callable(values):
                yield piece
                continue
            n_centers = n_centers or int(piece.offsets[1])
            yield values.reshape(-1, n_centers, values.shape[-1])

    def chosen(self, atoms: Any = None) -> Indices:
        """Return the indices of atoms: of an element, of several, or as they are given.

        Parameters
        ----------
        atoms : str, sequence of str or sequence of int, optional
            Symbols of elements, or indices. Default: all.
        """
        numbers = self.first.numbers
        if atoms is None:
            return np.arange(len(numbers))
        given = [atoms] if isinstance(atoms, str) else list(atoms)
        if given and all(isinstance(item, str) for item in given):
            found = np.flatnonzero(np.isin(numbers, [species_number(item) for item in given]))
            if not len(found):
                raise ValueError(f"atoms must be elements of the trajectory, got {atoms!r}")
            return found
        for item in given:
            check_integer("atoms", item, 0, len(numbers) - 1)
        if not given or len(set(given)) < len(given):
            raise ValueError(f"atoms must be one or more different indices, got {atoms!r}")
        return np.array(given, dtype=np.intp)


class _Even:
    """Check frames in turn against the first."""

    def __init__(self, time_step: float) -> None:
        self.time_step = time_step
        self.before: dict[str, float] = {}
        self.gaps: dict[str, float] = {}
        self.numbers: npt.NDArray[Any] | None = None

    def __call__(self, index: int, atoms: Atoms) -> None:
        """Raise if this frame does not follow the one before."""
        if not isinstance(atoms, Atoms):
            raise TypeError(f"frame {index} must be an ase.Atoms, got {type(atoms).__name__}")
        if self.numbers is None:
            if not len(atoms):
                raise FrameError(index, None, "must have at least one atom, got none")
            self.numbers, self.pbc = atoms.numbers.copy(), atoms.pbc.copy()
        if len(atoms) != len(self.numbers):
            raise FrameError(index, None, f"must have the atoms of the first, {len(self.numbers)}, got {len(atoms)}")
        if (wrong := atoms.numbers != self.numbers).any():
            atom = int(np.argmax(wrong))
            got = atoms.symbols[atom]
            raise FrameError(index, atom, f"must be of the element that it is in the first frame, got {got}")
        if (atoms.pbc != self.pbc).any():
            rule = f"must repeat as the first does, pbc = {self.pbc.tolist()}, got {atoms.pbc.tolist()}"
            raise FrameError(index, None, rule)
        if not (finite := np.isfinite(atoms.positions).all(axis=1)).all():
            atom = int(np.argmin(finite))
            raise FrameError(index, atom, f"position must be finite, got {atoms.positions[atom].tolist()}")
        if self.pbc.any() and not abs(atoms.cell.complete().volume) > 0:
            raise FrameError(index, None, f"cell must have a volume, got {atoms.cell.tolist()}")
        for key in ("step", "time", "time_ps"):
            self._check_time(index, key, atoms.info.get(key))

    def _check_time(self, index: int, key: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            if key in self.before:
                raise FrameError(index, None, f"must tell its {key} as those before do, got {value!r}")
            return
        time = float(value)
        if key not in self.before and index > 0:
            return  # those before did not tell theirs
        if index > 0:
            gap = time - self.before[key]
            even = self.gaps.setdefault(key, gap)
            if not gap > 0 or abs(gap - even) > _EVEN * even:
                wanted = f"{self.before[key]:.12g} + {even:.12g}" if even > 0 else f"more than {self.before[key]:.12g}"
                raise FrameError(
                    index, None, f"frames must come at even times: its {key} must be {wanted}, got {value}"
                )
            if key == "time_ps" and abs(1000 * gap - self.time_step) > _EVEN * self.time_step:
                raise ValueError(
                    f"time_step must be the time from frame to frame, which the file says is {1000 * gap:g} fs, "
                    f"got {self.time_step:g}"
                )
        self.before[key] = time


def positions_of(
    trajectory: Trajectory, atoms: Indices, *, unwrap: bool = True, remove_drift: bool = False
) -> Iterator[FloatArray]:
    """Yield the positions of some atoms in each frame, followed across periodic boundaries; see :func:`unwrapped`."""
    masses = trajectory.first.get_masses() if remove_drift else None
    for places in unwrapped(trajectory) if unwrap else (frame.positions for frame in trajectory):
        shift = 0.0 if masses is None else masses @ places / masses.sum()
        yield places[atoms] - shift


_FAR = 0.4  # of a lattice vector: beyond half of one nobody can tell which way an atom went


def unwrapped(trajectory: Trajectory) -> Iterator[FloatArray]:
    """Yield positions that follow each atom where it leaves the cell on one side and comes back on the other.

    To the positions before, the shortest way from the atom's place in the cell of the last frame to that in the cell of
    this one is added [1]_, [2]_. It thus does not matter whether the file has wrapped positions or not, and in cells
    that change their size the images that an atom is counted in do not move it, as they would were fractions of the
    cell followed.

    Parameters
    ----------
    trajectory : Trajectory
        The frames.

    Yields
    ------
    ndarray of float64, shape (n_atoms, 3)
        Positions in Å, in the first frame those of the file.

    Raises
    ------
    FrameError
        If an atom moves by more than 0.4 lattice vectors from one frame to the next, so that nobody can tell where it
        went.

    References
    ----------
    .. [1] S. von Bülow, J. T. Bullerjahn, G. Hummer, J. Chem. Phys. 153 (2020) 021101.
    .. [2] J. T. Bullerjahn, S. von Bülow, M. Heidari, J. Hénin, G. Hummer, J. Chem. Theory Comput. 19 (2023) 3406.
    """
    places = before = None
    for index, atoms in enumerate(trajectory):
        pbc, cell = atoms.pbc, atoms.cell.complete().array
        fractions = np.linalg.solve(cell.T, atoms.positions.T).T
        wrapped = (fractions - np.where(pbc, np.floor(fractions), 0.0)) @ cell
        if places is None or before is None:
            places = atoms.positions.copy()
        else:
            moved = np.linalg.solve(cell.T, (wrapped - before).T).T
            moved -= np.where(pbc, np.rint(moved), 0.0)
            if (far := (np.abs(moved) > _FAR) & pbc).any():
                atom = int(np.argmax(far.any(axis=1)))
                share = float(np.abs(moved[atom])[far[atom]].max())
                rule = f"moved by {share:.2f} lattice vectors since the frame before, too far to be followed across"
                rule += (
                    " the cell: frames must be nearer in time, or have positions that are not wrapped (unwrap=False)"
                )
                raise FrameError(trajectory.start + trajectory.every * index, atom, rule)
            places = places + moved @ cell
        before = wrapped
        yield places

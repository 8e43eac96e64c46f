"""Structures from ASE, pymatgen, files or arrays, as one batch of flat arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import index as as_index
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt
from ase import Atoms

from atomprint import _core
from atomprint.formats.judge import (
    CLOSE_DISTANCE,
    CLOSE_FRACTION,
    RADII,
    by_structure,
    check_occupancies,
    close_atoms,
)
from atomprint.ragged import locate, offsets_of, pick
from atomprint.util.items import items_of
from atomprint.util.npz import read_npz, write_npz
from atomprint.util.types import PathOrStr

__all__ = ["Batch", "StructureError", "StructureTypeError", "as_batch", "iter_structures", "read_structures"]

Structures: TypeAlias = Any
"""One structure, or a sequence of them: ``ase.Atoms``, pymatgen ``Structure`` or ``Molecule``, the path of a
file that ASE reads, or a :class:`Batch`."""

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]

T = TypeVar("T")

Warn: TypeAlias = Callable[[str], object]
"""What is told of something that may be a mistake."""

warn_user: Warn = partial(warnings.warn, stacklevel=2)

_NO_CELL = np.zeros((3, 3))
_NO_PBC = (False, False, False)


class StructureError(ValueError):
    """A structure that cannot be used: raised where that is found, caught by its index.

    It reads as ``structure 17, atom 3: position must be finite``, or ``structure 17 must have at least one atom`` where
    the rule has no subject of its own.

    Parameters
    ----------
    index : int
        Of the structure among those that were given.
    atom : int or None
        Index of the atom in the structure, where it is about one.
    rule : str
        What is wrong, with the value.
    place : str
        Where in the structure, if not at one atom, such as ``"centre 3"``.
    argument : str
        Which argument the structures are.
    """

    noun = "structure"

    def __init__(self, index: int, atom: int | None, rule: str, place: str = "", argument: str = "") -> None:
        super().__init__(index, atom, rule, place, argument)
        self.index, self.atom, self.rule = int(index), atom, rule
        self.place = place if atom is None else f"atom {atom}"
        self.argument = argument

    @property
    def reason(self) -> str:
        """The message without the structure."""
        return f"{self.place}: {self.rule}" if self.place else self.rule

    def __str__(self) -> str:
        link = ", " if self.place else " " if self.rule.startswith(("must ", "is ")) else ": "
        return f"{self.argument and f'{self.argument}: '}{self.noun} {self.index}{link}{self.reason}"


class StructureTypeError(StructureError, TypeError):
    """Something in place of a structure that is none."""


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Within a ``with`` block that works on a run of structures, make errors tell the index among all of them."""
    try:
        yield
    except StructureError as error:
        error.index += first
        raise


def reason_of(error: Exception) -> str:
    """Return what an error about one structure says, without the index of the structure."""
    return error.reason if isinstance(error, StructureError) else str(error)


def attempt(
    run: Sequence[int], compute: Callable[[Sequence[int]], T], failed: Callable[[int, Exception], T]
) -> list[T]:
    """Compute something for runs of structures that are as long as may be, without those that are to blame for errors.

    Parameters
    ----------
    run : sequence of int
        The structures.
    compute : callable
        Is given a part of the run. If it raises a ``StructureError`` that counts from the first of these, they are cut
        there; if another ``ValueError`` or ``TypeError``, they are halved until it is known which one is to blame.
    failed : callable
        Is given the index of such a structure, and the error.

    Returns
    -------
    list
        What the callables returned, in the order of the structures.
    """
    done: list[T] = []
    while run:
        cause: Exception
        try:
            return [*done, compute(run)]
        except StructureError as error:
            bad, cause = error.index, error
        except (ValueError, TypeError) as error:
            if len(run) > 1:
                middle = len(run) // 2
                return [*done, *attempt(run[:middle], compute, failed), *attempt(run[middle:], compute, failed)]
            bad, cause = 0, error
        done += [*attempt(run[:bad], compute, failed), failed(run[bad], cause)]
        run = run[bad + 1 :]
    return done


@dataclass(frozen=True, slots=True)
class Batch:
    """Structures as flat arrays, the form in which the compiled core reads them.

    It is a sequence too: ``batch[3]`` makes the ``ase.Atoms`` of structure 3, and so does a loop for each in turn. A
    large data set can thus be kept in this form, which needs 28 bytes for each atom, and be looked at one by one. What
    takes structures takes a batch, and need not read them again. The arrays of one that :func:`as_batch` makes, or that
    is loaded, are read-only, so that it is checked once; of one made of other arrays they are these, checked each time.

    Parameters
    ----------
    numbers : ndarray of int32, shape (n_atoms,)
        Atomic numbers of all atoms of all structures, one structure after the other.
    positions : ndarray of float64, shape (n_atoms, 3)
        Cartesian positions in Å.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the atoms ``offsets[s]`` to ``offsets[s + 1]``.
    cells : ndarray of float64, shape (n_structures, 3, 3)
        Lattice vectors as rows, in Å; zero for a molecule.
    pbc : ndarray of bool, shape (n_structures, 3)
        Along which lattice vectors the structure repeats.
    single : bool
        Whether the caller gave one bare structure and expects results without a leading axis.
    """

    numbers: npt.NDArray[np.int32]
    positions: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]
    cells: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]
    single: bool = False
    # The choices of `periodic` for which the structures have passed all checks; None if anybody may change the arrays.
    _passed: set[bool | None] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, dtype, shape in (
            ("numbers", np.int32, (None,)),
            ("positions", np.float64, (None, 3)),
            ("offsets", np.int64, (None,)),
            ("cells", np.float64, (None, 3, 3)),
            ("pbc", np.bool_, (None, 3)),
        ):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"Batch: {name} must be an array of {np.dtype(dtype)}, got {got}")
            flags = array.flags
            if array.ndim != len(shape) or array.shape[1:] != shape[1:] or not (flags.c_contiguous and flags.aligned):
                wanted = ", ".join("n" if n is None else str(n) for n in shape)
                how = "contiguous" if flags.aligned else "aligned in memory"
                raise ValueError(f"Batch: {name} must be {how} with shape ({wanted}), got shape {array.shape}")
        n = len(self.offsets) - 1
        if n < 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.numbers) or (np.diff(self.offsets) < 0).any():
            raise ValueError("Batch: offsets must ascend from 0 to the number of atoms")
        if len(self.positions) != len(self.numbers) or len(self.cells) != n or len(self.pbc) != n:
            raise ValueError(
                f"Batch: {len(self.numbers)} numbers and {n} structures need as many positions and cells and pbc, "
                f"got {len(self.positions)}, {len(self.cells)} and {len(self.pbc)}"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Batch({len(self):,} structures, {len(self.numbers):,} atoms)"

    @property
    def n_atoms(self) -> npt.NDArray[np.int64]:
        """Number of atoms of each structure."""
        return self.offsets[1:] - self.offsets[:-1]

    @overload
    def __getitem__(self, key: int) -> Atoms: ...

    @overload
    def __getitem__(self, key: slice) -> Batch: ...

    def __getitem__(self, key: int | slice) -> Atoms | Batch:
        """Return one structure as new ``ase.Atoms``, or a run of consecutive ones, whose arrays are views."""
        if not isinstance(key, slice):
            s = as_index(key)
            if not -len(self) <= s < len(self):
                raise IndexError(f"structure must be in {-len(self)}..{len(self) - 1}, got {s}")
            s %= len(self)
            own = slice(self.offsets[s], self.offsets[s + 1])
            return Atoms(self.numbers[own], self.positions[own], cell=self.cells[s], pbc=self.pbc[s])
        start, stop, step = key.indices(len(self))
        if step != 1:
            raise ValueError(f"a Batch can only be sliced with step 1, got {step}: pick() takes any structures")
        stop = max(start, stop)
        first, last = self.offsets[start], self.offsets[stop]
        numbers, positions, offsets = (
            self.numbers[first:last],
            self.positions[first:last],
            self.offsets[start : stop + 1],
        )
        return self._part(numbers, positions, offsets - first, self.cells[start:stop], self.pbc[start:stop])

    def __iter__(self) -> Iterator[Atoms]:
        return (self[s] for s in range(len(self)))

    def pick(self, structures: npt.ArrayLike) -> Batch:
        """Return the structures with these indices, in this order, as often as each is named."""
        chosen = np.asarray(structures)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        chosen = np.arange(len(self))[chosen]  # counts from the end and checks, as NumPy does
        atoms, offsets = pick(self.offsets, chosen)
        return self._part(self.numbers[atoms], self.positions[atoms], offsets, self.cells[chosen], self.pbc[chosen])

    def _part(self, *arrays: npt.NDArray[Any]) -> Batch:
        """Return some of the structures, which have passed the checks that all of them have."""
        return _made(*arrays, False, None) if self._passed is None else _own(*arrays, passed=self._passed)

    def moved(self, positions: npt.NDArray[np.float64], cells: npt.NDArray[np.float64]) -> Batch:
        """Return the same atoms at other positions, in other cells; the arrays are those given."""
        return _made(self.numbers, positions, self.offsets, cells, self.pbc, self.single, None)

    def fixed(self) -> Batch:
        """Return the structures in arrays that nobody can change: copies of those that somebody can."""
        if self._passed is not None:
            return self
        return _own(*(array.copy() for array in self._fields()), single=self.single)

    def locate(self, atom: int) -> tuple[int, int]:
        """Return the structure that flat atom ``atom`` belongs to, and its index in that structure."""
        return locate(self.offsets, atom)

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return positions, numbers, offsets, cells and pbc."""
        return self.positions, self.numbers, self.offsets, self.cells, self.pbc

    def core(self) -> _core.Batch:
        """Return the arrays as the compiled functions take them."""
        return _core.Batch(*self.arrays())

    def save(self, path: PathOrStr) -> None:
        """Write the arrays to a file, uncompressed, from which :meth:`load` maps them and ``numpy.load`` reads them.

        Parameters
        ----------
        path : path
            The file, by custom ``NAME.npz``. It is replaced when the new one is complete.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        write_npz(path, {name: getattr(self, name) for name in _DTYPES})

    @classmethod
    def load(cls, path: PathOrStr, *, mmap: bool = True) -> Batch:
        """Return the structures that :meth:`save` has written; a single one comes back as a sequence of one.

        Parameters
        ----------
        path : path
            The file.
        mmap : bool
            Whether the arrays stay in the file and are read from there when they are used, so that a data set may be
            larger than the memory, and is there at once. The file must not change meanwhile, and its checksums are not
            looked at.

        Raises
        ------
        FileNotFoundError, PermissionError
            If there is no such file, or it may not be read.
        ValueError
            If it is no such file, or is damaged.
        """
        numbers, positions, offsets, cells, pbc = read_npz(path, _DTYPES, mmap=mmap).values()
        try:
            return _own(*cls(numbers, positions, offsets, cells, pbc)._fields())
        except (ValueError, TypeError) as error:
            raise ValueError(f"{str(path)!r} is damaged: {error}") from None

    def _fields(self) -> tuple[npt.NDArray[Any], ...]:
        return self.numbers, self.positions, self.offsets, self.cells, self.pbc

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies have arrays that anybody may change.
        return Batch, (*self._fields(), self.single)

    @classmethod
    def from_arrays(
        cls,
        numbers: npt.ArrayLike,
        positions: npt.ArrayLike,
        cell: npt.ArrayLike | None = None,
        pbc: npt.ArrayLike | bool = False,
    ) -> Batch:
        """Make a batch of one structure from plain arrays; see :class:`Batch` for shapes and units."""
        z = _atomic_numbers(np.asarray(numbers), np.zeros(1, dtype=np.int64))
        r = np.ascontiguousarray(positions, dtype=np.float64)
        if z.ndim != 1 or r.shape != (len(z), 3):
            raise ValueError(
                f"positions must have shape (n_atoms, 3) and numbers (n_atoms,), got {r.shape} and {z.shape}"
            )
        cells = np.zeros((1, 3, 3)) if cell is None else np.array(cell, dtype=np.float64).reshape(1, 3, 3)
        periods = np.ascontiguousarray(np.broadcast_to(np.asarray(pbc, dtype=bool), (1, 3)))
        return cls(z, r, np.array([0, len(z)], dtype=np.int64), cells, periods, single=True)


_DTYPES = {"numbers": np.int32, "positions": np.float64, "offsets": np.int64, "cells": np.float64, "pbc": np.bool_}


def _made(*fields: Any) -> Batch:
    """Return a batch of arrays that are known to be right: checks would take a tenth of a small call."""
    numbers, positions, offsets, cells, pbc, single, passed = fields
    batch = object.__new__(Batch)
    _put_numbers(batch, numbers)
    _put_positions(batch, positions)
    _put_offsets(batch, offsets)
    _put_cells(batch, cells)
    _put_pbc(batch, pbc)
    _put_single(batch, single)
    _put_passed(batch, passed)
    return batch


# Past the guard of a frozen class.
_put_numbers, _put_positions, _put_offsets, _put_cells, _put_pbc, _put_single, _put_passed = (
    getattr(Batch, name).__set__ for name in Batch.__slots__
)


def _own(*arrays: npt.NDArray[Any], single: bool = False, passed: Iterable[bool | None] = ()) -> Batch:
    """Return a batch of such arrays that nobody else has, and that nobody can change from now on."""
    for array in arrays:
        array.setflags(write=False)
    return _made(*arrays, single, set(passed))


def as_batch(structures: Structures, *, periodic: bool | None = True) -> Batch:
    """Turn structures of any supported kind into one checked batch.

    Parameters
    ----------
    structures : structure or sequence of structures
        See :data:`Structures`.
    periodic : bool or None
        If false, cells and periodic boundary conditions are ignored. If true, they are kept, and every
        structure must have a cell. If None, they are kept where a structure has them.

    Returns
    -------
    Batch
        New arrays, read-only; the caller's objects are neither kept nor changed.

    Raises
    ------
    TypeError
        If something is not a structure.
    ValueError
        If there is no structure, or a structure is empty, has positions or a cell that are not finite, has no
        cell or one without volume although periodic boundaries are asked for, or has coincident atoms.
    """
    return checked(read_batch(structures), periodic)


def checked(batch: Batch, periodic: bool | None, *, warn: Warn | None = None, n_threads: int = 1) -> Batch:
    """Return a batch for use as :func:`as_batch` says, or raise where it is of no use.

    What there is to say of atoms that are nearer to each other than any in matter is told to ``warn``.
    """
    if len(batch) == 0:
        raise ValueError("structures must hold at least one structure, got an empty Batch")
    passed = batch._passed
    if periodic is False and (np.count_nonzero(batch.pbc) or np.count_nonzero(batch.cells)):
        cells, pbc = np.zeros(batch.cells.shape), np.zeros(batch.pbc.shape, dtype=np.bool_)
        bare = batch.numbers, batch.positions, batch.offsets, cells, pbc, batch.single
        batch = _made(*bare, None if passed is None else {False, None})
    if passed is None or not (periodic in passed or (periodic is None and True in passed)):
        limits = None if warn is None else RADII, CLOSE_FRACTION, CLOSE_DISTANCE
        found: Any = _core.inspect_batch(batch.core(), periodic is True, *limits, n_threads)
        if found is not None:
            _tell(batch, found, warn or warn_user)
        if passed is not None:
            passed.add(periodic)
    return batch


def read_checked(structures: Structures, periodic: bool | None, warn: Warn, n_threads: int = 1) -> tuple[Batch, int]:
    """Return structures as :func:`as_batch` does, and how many of them repeat, whether this counts or not.

    What there is to say of atoms that are too close is told to ``warn``, but not of those of a Batch, which has been
    read before: data of potentials may have such atoms.
    """
    items = [structures] if isinstance(structures, Atoms) else structures
    if type(items) is list and items:
        limits = RADII, CLOSE_FRACTION, CLOSE_DISTANCE
        read: Any = _core.read_checked(items, Atoms, periodic, *limits, n_threads)
        if read is not None:
            arrays, n_repeating, found = read
            batch = _made(*arrays, items is not structures, None)
            if found is not None:
                _tell(batch, found, warn)
            return batch, n_repeating
    given = read_batch(structures)
    n_repeating = int(given.pbc.any(axis=1).sum()) if np.count_nonzero(given.pbc) else 0
    return checked(given, periodic, warn=None if given is structures else warn, n_threads=n_threads), n_repeating


def read_batch(structures: Structures) -> Batch:
    """Return structures of any supported kind as one batch, as they are; see :func:`as_batch`."""
    if not isinstance(structures, Atoms | Batch):
        structures = items_of("structures", structures)
    if isinstance(structures, Batch):
        return structures
    single = is_structure(structures)
    if isinstance(structures, str | PathLike):
        items: list[Any] = read_structures(structures)
        single = False
    elif single:
        items = [structures]
    elif isinstance(structures, Iterable) and not isinstance(structures, bytes):
        items = structures if type(structures) is list else list(structures)
    else:
        raise TypeError(
            f"structures must be an ase.Atoms, a pymatgen Structure or Molecule, a file, or a sequence of these, "
            f"got {type(structures).__name__}"
        )
    if not items:
        raise ValueError(f"structures must hold at least one structure, got an empty {type(structures).__name__}")

    gathered: Any = _core.read_atoms(items, Atoms)
    if gathered is not None:
        return _own(*gathered, single=single)
    numbers, positions, cells, pbc = [], [], [], []
    for index, item in enumerate(items):
        if isinstance(item, Atoms):
            # The arrays themselves, which are only read, and concatenated below: the public getters copy.
            numbers.append(item.arrays["numbers"])
            positions.append(item.arrays["positions"])
            cells.append(item.cell.array)
            pbc.append(item.pbc)
        else:
            z, r, cell, periods = _from_other(item, index)
            numbers.append(z)
            positions.append(r)
            cells.append(cell)
            pbc.append(periods)
    offsets = offsets_of([len(z) for z in numbers])
    batch = Batch(
        _atomic_numbers(np.concatenate(numbers), offsets),
        np.ascontiguousarray(np.concatenate(positions, dtype=np.float64)),
        offsets,
        np.array(cells, dtype=np.float64),
        np.array(pbc, dtype=bool),
    )
    return _own(*batch._fields(), single=single)


def joined(*batches: Batch) -> Batch:
    """Return the structures of all batches in one."""
    names = ("numbers", "positions", "cells", "pbc")
    numbers, positions, cells, pbc = (np.concatenate([getattr(batch, name) for batch in batches]) for name in names)
    return Batch(numbers, positions, offsets_of(np.concatenate([batch.n_atoms for batch in batches])), cells, pbc)


def _atomic_numbers(numbers: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return numbers as int32, or raise where that would change them."""
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"structures: atomic numbers must be integers, got {numbers.dtype}")
    if len(numbers) and (numbers.min() < 1 or numbers.max() > 118):
        flat = int(np.argmax((numbers < 1) | (numbers > 118)))
        structure, atom = locate(offsets, flat)
        raise StructureError(structure, atom, f"atomic number must be in 1..118, got {numbers[flat]}")
    return np.ascontiguousarray(numbers, dtype=np.int32)


def is_structure(item: Any) -> bool:
    """Return whether an object is one bare structure, and not a sequence of structures."""
    return isinstance(item, Atoms) or hasattr(item, "cart_coords")


def as_list(structures: Structures) -> Structures:
    """Return one bare structure as a list of one, and other structures as they can be read several times."""
    structures = items_of("structures", structures)
    if isinstance(structures, Batch):
        return _made(*structures._fields(), False, structures._passed)
    return [structures] if is_structure(structures) else structures


def read_structures(path: str | PathLike[str]) -> list[Atoms]:
    """Return all structures in a file, a folder or an archive, as :func:`~atomprint.datasets.read_dataset` reads them.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, something in it cannot be read or is no structure in which each site holds one atom,
        or there is nothing in it; the message says what, and in which row.
    """
    return list(iter_structures(path))


def iter_structures(path: str | PathLike[str]) -> Iterator[Atoms]:
    """Yield what :func:`read_structures` returns, with no more in memory than the format makes necessary."""
    from atomprint.formats.reading import structures_of

    if not Path(path).exists():
        if isinstance(path, str):
            raise ValueError(f"{path!r} is neither a structure nor the name of a file")
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    return structures_of(Path(path))


def structure_of(item: Any, index: int) -> Any:
    """Return the only structure in a file, and all that is no name of a file as it is."""
    if not isinstance(item, str | PathLike):
        return item
    try:
        frames = read_structures(item)
    except ValueError as error:
        raise StructureError(index, None, str(error)) from error
    if len(frames) != 1:
        rule = f"{str(item)!r} holds {len(frames)} structures, not one"
        raise StructureError(index, None, rule, argument="structures")
    return frames[0]


def _from_other(item: Any, index: int) -> tuple[Any, Any, Any, Any]:
    """Return numbers, positions, cell and pbc of a pymatgen object, recognised by its attributes, or a file."""
    if isinstance(item, str | PathLike):
        atoms = structure_of(item, index)
        return atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
    positions = getattr(item, "cart_coords", None)  # made each time
    if positions is None:
        rule = f"must be an ase.Atoms, a pymatgen Structure or Molecule, or a file, got {kind_of(item)}"
        raise StructureTypeError(index, None, rule, argument="structures")
    lattice = getattr(item, "lattice", None)
    numbers = _numbers_of(item, index)
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    if lattice is None:
        return numbers, positions, _NO_CELL, _NO_PBC
    return numbers, positions, lattice.matrix, getattr(lattice, "pbc", (True, True, True))


def _numbers_of(item: Any, index: int) -> npt.NDArray[Any]:
    """Return the atomic numbers of a pymatgen object, whose occupancies may be rounded as those in a file."""
    sites = getattr(item, "sites", ())
    species = [site.species for site in sites]
    if species and all(len(kinds) == 1 == kinds.num_atoms for kinds in species):  # most often; is_ordered takes longer
        numbers = np.array([next(iter(kinds)).Z for kinds in species])
    elif getattr(item, "is_ordered", True) is not False:
        numbers = np.asarray(item.atomic_numbers)
    else:
        try:
            held = [check_occupancies(f"site {k}", dict(kinds)) for k, kinds in enumerate(species)]
        except ValueError as error:
            rule = str(error).removeprefix("this structure ")
            raise StructureError(index, None, rule, argument="structures") from None
        if not held:
            raise StructureError(index, None, "is disordered", argument="structures")
        return np.array([kind.Z for kind in held])
    if (wrong := (numbers < 1) | (numbers > 118)).any():  # a dummy, whose number is made up
        atom = int(np.argmax(wrong))
        raise StructureError(index, atom, f"{str(item[atom].specie)[:40]!r} is not a chemical element")
    return numbers


def kind_of(item: Any) -> str:
    """Return what something is that was given in place of a structure or a composition."""
    return "nan, a missing value" if isinstance(item, float) and item != item else type(item).__name__


def _tell(batch: Batch, found: tuple[Any, ...], warn: Warn) -> None:
    """Tell of atoms that are too close, or raise the first problem that was found in a batch."""
    problem, structure, atom, other, close = found
    if problem == _core.Problem.none:
        warn(close_atoms(by_structure(close)))
        return
    if problem == _core.Problem.empty:
        raise StructureError(structure, None, "must have at least one atom, got none")
    first = int(batch.offsets[structure])
    cell = batch.cells[structure].tolist()
    if problem == _core.Problem.position:
        position = batch.positions[first + atom].tolist()
        raise StructureError(structure, atom, f"position must be finite and within 1e7 Å, got {position}")
    if problem == _core.Problem.number:
        raise StructureError(structure, atom, f"atomic number must be in 1..118, got {batch.numbers[first + atom]}")
    if problem == _core.Problem.far:
        position = batch.positions[first + atom].tolist()
        rule = f"position must be within 2.5e8 lattice vectors of the cell, got {position} and cell {cell}"
        raise StructureError(structure, atom, rule)
    if problem == _core.Problem.coincident:
        rule = "atoms must not coincide"
        if not batch.pbc[structure].any():
            distance = np.linalg.norm(batch.positions[first + atom] - batch.positions[first + other])
            rule += f" ({distance:.1e} Å apart)"
        raise StructureError(structure, None, rule, f"atoms {atom} and {other}")
    rules = {
        _core.Problem.cell: f"cell must be finite and within 1e7 Å, got {cell}",
        _core.Problem.no_cell: "a periodic descriptor needs a cell, got none (all lattice vectors are zero)",
        _core.Problem.volume: f"cell must have a non-zero volume, got {cell}",
    }
    raise StructureError(structure, None, rules[problem])

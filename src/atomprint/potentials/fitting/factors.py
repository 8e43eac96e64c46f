"""Rows are reduced to triangles as they come: all that a fit needs to know of them.

Normal equations square the condition number and break at thousands of columns, so rows go through a blocked QR
(LAPACK's ``tpqrt``). It keeps a triangle for each fold of a cross-validation and each kind of row: any sigmas, priors
and sets of folds then follow without rows. Merging two triangles of K columns costs ``2/3 K^3``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import chunks, offsets_of
from atomprint.structures import Batch
from atomprint.util.memory import NotEnoughMemoryError, available_memory, size_of
from atomprint.util.npz import read_npz, write_npz
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, PathOrStr

IntArray = npt.NDArray[np.int64]

KINDS = ("energies", "forces", "stresses")
ENERGY, FORCES, STRESS = range(3)

_PANEL = 32  # columns that tpqrt takes at a time
_ROWS = 1024  # reduced together: fewer cost more a row, more do not cost less
_SAMPLES = 1024  # rows of each kind that are kept, for errors on folds that were left out
_SECONDS = 15.0  # between checkpoints, at least
_SHARE = 20.0  # and so many times what writing one takes
_CHECKPOINT_VERSION = 1


class Rows(Protocol):
    """What makes rows: a prepared term, or a sum of them."""

    n_functions: int

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write rows as :meth:`PreparedTerm.sums` says."""

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write rows as :meth:`PreparedTerm.atoms` says."""

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write rows as :meth:`PreparedTerm.rows` says."""


@dataclass(frozen=True)
class Targets:
    """What rows are fitted to, without what is not fitted; NaN where there is no label.

    Parameters
    ----------
    energies : ndarray, shape (n_structures,)
        In eV.
    forces : ndarray, shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 6)
        In eV/Å^3, as Voigt xx yy zz yz xz xy.
    weights : ndarray, shape (n_structures, 3)
        By which the sigmas of energy, forces and stress of a structure are divided.
    volumes : ndarray, shape (n_structures,)
        In Å^3; 1 where there is none.
    """

    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray
    weights: FloatArray
    volumes: FloatArray


class Part:
    """Rows of one kind and fold: themselves while they are few, else the triangle that has the same squares.

    Parameters
    ----------
    array : ndarray
        Shape (n, K) of rows, or the K (K + 1) / 2 numbers of a triangle, packed by columns.
    n_rows : int
        How many rows there were.
    """

    def __init__(self, array: FloatArray, n_rows: int) -> None:
        self.array, self.n_rows = array, n_rows

    def added(self, triangle: FloatArray, factor: float) -> FloatArray:
        """Return the triangle of other rows and of these times a factor; ``triangle`` is used up."""
        if self.n_rows == 0:
            return triangle
        if self.array.ndim == 2:
            return merged(triangle, np.asfortranarray(factor * self.array), 0)
        return merged(triangle, unpacked(factor * self.array), len(triangle))

    def squares_of_columns(self) -> FloatArray:
        """Return the sum of the squares of each column."""
        whole = self.array if self.array.ndim == 2 else unpacked(self.array)
        return np.einsum("ij,ij->j", whole, whole)


def merged(triangle: FloatArray, rows: FloatArray, n_triangular: int) -> FloatArray:
    """Return the triangle of a triangle and rows, whose last ``n_triangular`` are a triangle too; both are used up."""
    from scipy.linalg import lapack

    panel = min(_PANEL, len(triangle))
    found, _, _, info = lapack.dtpqrt(n_triangular, panel, triangle, rows, overwrite_a=True, overwrite_b=True)
    assert info == 0
    return found


def packed(triangle: FloatArray) -> FloatArray:
    """Return the upper triangle of a square array, column after column."""
    from scipy.linalg import lapack

    found, info = lapack.dtrttp(triangle, uplo="U")
    assert info == 0
    return found


def unpacked(numbers: FloatArray) -> FloatArray:
    """Return the square array, in Fortran's order, with this upper triangle and zeros below."""
    n = (math.isqrt(8 * len(numbers) + 1) - 1) // 2
    found, stop = no_rows(n), 0
    for column in range(n):
        start, stop = stop, stop + column + 1
        found[: column + 1, column] = numbers[start:stop]
    return found


def no_rows(n: int) -> FloatArray:
    """Return the triangle of no rows."""
    return np.zeros((n, n), order="F")


class _Accumulator:
    """Takes rows, and reduces them to a triangle block by block."""

    def __init__(self, n_columns: int, most: int) -> None:
        self.n_columns, self.n_rows, self.n_waiting = n_columns, 0, 0
        # Where no more come than a triangle has rows, they stay as they are.
        self._raw = most <= n_columns
        self._capacity = most if self._raw else _ROWS
        self._waiting: FloatArray | None = None
        self._triangle: FloatArray | None = None

    def add(self, rows: FloatArray, factors: float | FloatArray) -> None:
        """Take rows times a factor, or times one of each row."""
        start, each = 0, np.broadcast_to(factors, len(rows))
        while start < len(rows):
            room = self._room()
            stop = min(len(rows), start + len(room) - self.n_waiting)
            own = room[self.n_waiting : self.n_waiting + stop - start]
            own[:] = rows[start:stop]  # to the other order, in which NumPy multiplies slowly
            own *= each[start:stop, None]
            self.n_waiting += stop - start
            self.n_rows += stop - start
            start = stop
            if self.n_waiting == len(room) and not self._raw:
                self._reduce()

    def close(self) -> Part:
        """Return the rows that have come, and begin anew."""
        if self.n_rows == 0:
            found = Part(np.zeros((0, self.n_columns)), 0)
        elif self._raw:
            found = Part(np.array(self._room()[: self.n_waiting], order="C"), self.n_rows)
        else:
            if self.n_waiting:
                self._reduce()
            assert self._triangle is not None
            found = Part(packed(self._triangle), self.n_rows)
        self._triangle, self._waiting, self.n_rows, self.n_waiting = None, None, 0, 0
        return found

    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Return what :meth:`restore` takes."""
        waiting = np.array(self._room()[: self.n_waiting], order="C")
        return waiting, np.empty(0) if self._triangle is None else packed(self._triangle)

    def restore(self, waiting: FloatArray, triangle: FloatArray, n_rows: int) -> None:
        """Go on where another was."""
        self.n_rows, self.n_waiting = n_rows, len(waiting)
        self._room()[: self.n_waiting] = waiting
        self._triangle = unpacked(triangle) if len(triangle) else None

    def _room(self) -> FloatArray:
        if self._waiting is None:
            self._waiting = np.empty((self._capacity, self.n_columns), order="F")
        return self._waiting

    def _reduce(self) -> None:
        triangle, waiting = self._triangle, self._room()
        if self.n_waiting < len(waiting):
            waiting = np.array(waiting[: self.n_waiting], order="F")
        self._triangle = merged(no_rows(self.n_columns) if triangle is None else triangle, waiting, 0)
        self.n_waiting = 0


@dataclass(frozen=True)
class Samples:
    """Rows of one kind that are kept as they are, for how far off predictions are.

    Parameters
    ----------
    rows : ndarray, shape (n, n_columns + 1)
        Without weights, the target last: energies in eV, forces in eV/Å, stresses in eV/Å^3.
    folds : ndarray of int64, shape (n,)
        Of each row.
    n_atoms : ndarray, shape (n,)
        Of the structure of each row.
    """

    rows: FloatArray
    folds: IntArray
    n_atoms: FloatArray


@dataclass
class Factors:
    """All that a fit needs to know of the rows.

    Parameters
    ----------
    parts : list of list of Part
        For each fold, by kind.
    fixed : dict of str to Part
        Rows with sigmas of their own that are in every fit and never left out, by what they are for.
    samples : list of Samples
        By kind.
    n_columns : int
        Number of coefficients.
    """

    parts: list[list[Part]]
    fixed: dict[str, Part]
    samples: list[Samples]
    n_columns: int
    # Packed triangles: without energies by the other sigmas, and whole ones by all.
    _most: tuple[Any, list[FloatArray]] = field(default=((), []), repr=False)
    _whole: tuple[Any, dict[int | None, FloatArray]] = field(default=((), {}), repr=False)

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return len(self.parts)

    @property
    def counts(self) -> IntArray:
        """How many rows of each kind there are."""
        return np.array([sum(fold[kind].n_rows for fold in self.parts) for kind in range(3)])

    def rms(self, kind: int) -> FloatArray:
        """Return the root mean square of each column, and of the target, over the rows of a kind."""
        squares = sum((fold[kind].squares_of_columns() for fold in self.parts), np.zeros(self.n_columns + 1))
        return np.sqrt(squares / max(1, self.counts[kind]))

    def triangle(self, sigmas: Sequence[float], without: int | None = None) -> FloatArray:
        """Return the triangle of all rows divided by the sigmas of their kinds, or of those of all folds but one."""
        others = self._without_energies(sigmas)  # first, as new ones forget all
        if self._whole[0] != tuple(sigmas):
            self._whole = (tuple(sigmas), {})
        made = self._whole[1]
        if without not in made:
            whole = unpacked(others[self.n_folds if without is None else without])
            for fold, parts in enumerate(self.parts):
                if fold != without:
                    whole = parts[ENERGY].added(whole, 1 / sigmas[ENERGY])
            made[without] = packed(whole)
        return unpacked(made[without])

    def of_kinds(self, kinds: Sequence[int], sigmas: Sequence[float]) -> FloatArray:
        """Return the triangle of the rows of some kinds alone, divided by the sigmas of all kinds."""
        whole = no_rows(self.n_columns + 1)
        for parts in self.parts:
            for kind in kinds:
                whole = parts[kind].added(whole, 1 / sigmas[kind])
        return whole

    def hold(self, what: str, rows: FloatArray) -> None:
        """Take rows, divided by their sigmas, that are in every fit, in place of those that were for the same."""
        self.forget()
        found = merged(no_rows(self.n_columns + 1), np.array(rows, order="F"), 0)
        self.fixed[what] = Part(packed(found), len(rows))

    def held(self) -> FloatArray:
        """Return the triangle of all rows that are in every fit."""
        triangle = no_rows(self.n_columns + 1)
        for part in self.fixed.values():
            triangle = part.added(triangle, 1.0)
        return triangle

    def forget(self) -> None:
        """Give back the memory of triangles that can be made again."""
        self._most, self._whole = ((), []), ((), {})

    def _without_energies(self, sigmas: Sequence[float]) -> list[FloatArray]:
        """Return such triangles of the other kinds, without each fold and last of all folds: made from both ends."""
        key = (sigmas[FORCES], sigmas[STRESS])
        if self._most[0] != key:
            self.forget()
            n = self.n_columns + 1

            def with_fold(triangle: FloatArray, fold: int) -> FloatArray:
                own = self.parts[fold]
                return own[STRESS].added(own[FORCES].added(triangle, 1 / sigmas[FORCES]), 1 / sigmas[STRESS])

            found = [packed(self.held())]  # of the folds before each
            for fold in range(self.n_folds):
                found.append(packed(with_fold(unpacked(found[-1]), fold)))
            after = no_rows(n)
            for fold in reversed(range(self.n_folds - 1)):
                after = with_fold(after, fold + 1)
                found[fold] = packed(merged(unpacked(found[fold]), after.copy(order="F"), n))
            self._most = (key, found)
        return self._most[1]


def memory_needed(n_functions: int, n_folds: int, counts: Sequence[int], largest: int, closing: int = 0) -> int:
    """Return how many bytes reducing rows and choosing from the triangles take at most.

    Parameters
    ----------
    n_functions : int
        Number of coefficients.
    n_folds : int
        Number of folds.
    counts : sequence of int
        Rows of each kind.
    largest : int
        Rows of the largest structure.
    closing : int
        Bytes that closing holes takes, besides the rows.
    """
    k = n_functions + 1
    square, triangle = 8 * k * k, 4 * k * (k + 1)
    of_fold = [math.ceil(n / n_folds) for n in counts]
    kept = sum(n_folds * min(triangle, 8 * k * n) for n in of_fold) + sum(8 * k * min(_SAMPLES, n) for n in counts)
    waiting = sum(8 * k * n if n <= k else 8 * k * _ROWS + 2 * square for n in of_fold)
    streaming = waiting + 8 * k * max(_ROWS, largest)
    choosing = (n_folds + 4) * square + n_folds * min(square, 8 * k * of_fold[ENERGY])
    solving = (2 * n_folds + 2) * triangle + 4 * square
    leaving_out = solving - 2 * square + 3 * 8 * k * (_ROWS + largest)
    return kept + max(streaming, choosing, solving, leaving_out, closing)


def check_memory(needed: int, n_functions: int, n_folds: int) -> None:
    """Raise ``NotEnoughMemoryError`` where a fit would not fit."""
    left = available_memory()
    if left is not None and needed > left:
        raise NotEnoughMemoryError(
            f"fit: {n_functions} functions and {n_folds} folds take {size_of(needed)} of memory, and {size_of(left)} "
            "are left: take fewer functions or folds"
        )


def reduce_rows(
    source: Rows,
    batch: Batch,
    targets: Targets,
    folds: IntArray,
    *,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: Progress = silent,
    checkpoint: PathOrStr | None = None,
    fingerprint: str = "",
) -> Factors:
    """Make the rows of structures, a few at a time, and reduce them.

    Parameters
    ----------
    source : Rows
        What makes them.
    batch : Batch
        The structures.
    targets : Targets
        Their labels.
    folds : ndarray of int64, shape (n_structures,)
        The fold of each.
    random_state : int
        Seed of which rows are kept as samples.
    n_jobs : int
        Number of threads that make rows.
    progress : Progress
        Told how many structures are done.
    checkpoint : path, optional
        A file to which the triangles are written now and then, and from which another call goes on where this one was
        killed: it then ends with the same numbers, bit for bit. Removed at the end.
    fingerprint : str
        Of all that the rows follow from; a checkpoint of another is refused.

    Raises
    ------
    ValueError
        If a row is not finite, or the checkpoint is not one of this fit.
    """
    work = _Work(source, batch, targets, folds, random_state, n_jobs)
    path = None if checkpoint is None else Path(checkpoint)
    done = 0
    if path is not None and path.exists():
        done = work.load(path, fingerprint)
    last, writing = time.monotonic(), 0.0
    total = len(work.runs)
    for k in range(done, total):
        progress("rows", int(work.n_before[k]), len(batch))
        work.take(k)
        waited = time.monotonic() - last
        if path is not None and k + 1 < total and waited >= max(_SECONDS, _SHARE * writing):
            before = time.monotonic()
            work.save(path, fingerprint, k + 1)
            last = time.monotonic()
            writing = last - before
    progress("rows", len(batch), len(batch))
    found = work.factors()
    if path is not None:
        path.unlink(missing_ok=True)
    return found


def block_of_rows(source: Rows, batch: Batch, n_jobs: int) -> FloatArray:
    """Return all rows of structures, with room for the targets in the last column."""
    block = np.empty((int(np.sum(7 + 3 * batch.n_atoms)), source.n_functions + 1))
    block[:, -1] = 0
    source.rows(batch, block[:, :-1], n_jobs)
    if not _core.all_finite(block.ravel()):
        offsets = offsets_of(7 + 3 * batch.n_atoms)
        row = int(np.argmin(np.isfinite(block).all(axis=1)))
        raise ValueError(
            f"rows of structure {np.searchsorted(offsets, row, side='right') - 1} of a part are not finite"
        )
    return block


def _place(batch: Batch, s: int, kind: int) -> Any:
    """Return where the labels of a structure are among those of its kind."""
    return slice(int(batch.offsets[s]), int(batch.offsets[s + 1])) if kind == FORCES else s


def labelled_rows(
    targets: Targets, batch: Batch, s: int, block: FloatArray
) -> Iterator[tuple[int, FloatArray, npt.NDArray[np.bool_], float]]:
    """Yield the rows of one structure by kind, with targets: which of them there are, and by what to multiply them.

    Parameters
    ----------
    targets : Targets
        Of all structures.
    batch : Batch
        All structures.
    s : int
        Which of them.
    block : ndarray, shape (7 + 3 * n_atoms, n_columns + 1)
        Its part of a block of rows, which is changed.
    """
    weights = targets.weights[s]
    block[-6:] /= targets.volumes[s]
    factors = weights[ENERGY] / math.sqrt(batch.n_atoms[s]), weights[FORCES], weights[STRESS]
    for kind, own in enumerate((slice(0, 1), slice(1, -6), slice(-6, None))):
        labels = np.ravel((targets.energies, targets.forces, targets.stresses)[kind][_place(batch, s, kind)])
        rows, there = block[own], np.isfinite(labels)
        rows[:, -1] = labels
        if there.any() and factors[kind] != 0:
            yield kind, rows, there, float(factors[kind])


class _Work:
    """A reduction that is under way."""

    def __init__(
        self, source: Rows, batch: Batch, targets: Targets, folds: IntArray, random_state: int, n_jobs: int
    ) -> None:
        self.source, self.batch, self.targets, self.folds, self.n_jobs = source, batch, targets, folds, n_jobs
        self.n_columns = source.n_functions + 1
        # Fold after fold, so that the rows of one are under way at a time.
        self.order = np.argsort(folds, kind="stable")
        n_atoms = batch.n_atoms[self.order]
        self.runs: list[tuple[int, int, int]] = []
        for fold in np.unique(folds):
            own = np.flatnonzero(folds[self.order] == fold)
            first = int(own[0])
            offsets = offsets_of(7 + 3 * n_atoms[own])
            self.runs += [(int(fold), first + start, first + stop) for start, stop in chunks(offsets, _ROWS)]
        self.n_before = np.array([start for _, start, _ in self.runs])
        self.there = [
            np.isfinite(targets.energies),
            np.isfinite(targets.forces),
            np.isfinite(targets.stresses),
        ]
        n_of_fold = [self._n_rows(kind, folds) for kind in range(3)]
        self.accumulators = [_Accumulator(self.n_columns, int(n.max(initial=0))) for n in n_of_fold]
        self.parts: list[list[Part]] = []
        rng = np.random.default_rng(random_state)
        self.sampled = []
        for there in self.there:
            chosen, which = np.zeros(there.size, dtype=bool), np.flatnonzero(there)
            chosen[np.sort(rng.permutation(which)[:_SAMPLES])] = True
            self.sampled.append(chosen.reshape(there.shape))
        self.samples: list[list[FloatArray]] = [[], [], []]
        self.owners: list[list[int]] = [[], [], []]

    def _n_rows(self, kind: int, folds: IntArray) -> IntArray:
        """Return how many labels of a kind the structures of each fold have."""
        there = self.there[kind]
        of_row = folds if kind != FORCES else np.repeat(folds, self.batch.n_atoms)
        per_row = there.reshape(len(of_row), -1).sum(axis=1)
        return np.bincount(of_row, weights=per_row, minlength=1).astype(np.int64)

    def take(self, k: int) -> None:
        """Make and reduce the rows of a run."""
        fold, start, stop = self.runs[k]
        chosen = self.order[start:stop]
        block = block_of_rows(self.source, self.batch.pick(chosen), self.n_jobs)
        row = 0
        for s in chosen:
            n = int(self.batch.n_atoms[s])
            self._add(int(s), block[row : row + 7 + 3 * n])
            row += 7 + 3 * n
        if k + 1 == len(self.runs) or self.runs[k + 1][0] != fold:
            self.parts.append([accumulator.close() for accumulator in self.accumulators])

    def _add(self, s: int, block: FloatArray) -> None:
        for kind, rows, there, factor in labelled_rows(self.targets, self.batch, s, block):
            sampled = self.sampled[kind][_place(self.batch, s, kind)].reshape(-1)
            if sampled.any():
                self.samples[kind].append(rows[sampled])
                self.owners[kind] += [s] * int(sampled.sum())
            self.accumulators[kind].add(rows if there.all() else rows[there], factor)

    def factors(self) -> Factors:
        """Return what has become of all rows."""
        empty = np.zeros((0, self.n_columns))
        samples = []
        for rows, owners in zip(self.samples, self.owners, strict=True):
            of = np.array(owners, dtype=np.int64)
            n_atoms = self.batch.n_atoms[of].astype(np.float64)
            samples.append(Samples(np.concatenate([empty, *rows]), self.folds[of], n_atoms))
        return Factors(self.parts, {}, samples, self.n_columns - 1)

    # Checkpoints: whatever is there after a run, as arrays.

    def save(self, path: Path, fingerprint: str, done: int) -> None:
        """Write what has been done."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        counts = [_CHECKPOINT_VERSION, _ROWS, done, len(self.parts)]
        for f, parts in enumerate(self.parts):
            for k, part in enumerate(parts):
                arrays[f"part_{f}_{k}"] = np.ascontiguousarray(part.array.ravel())
                counts += [part.n_rows, part.array.ndim]
        for k, accumulator in enumerate(self.accumulators):
            waiting, triangle = accumulator.arrays()
            arrays[f"waiting_{k}"], arrays[f"triangle_{k}"] = waiting.ravel(), triangle
            counts.append(accumulator.n_rows)
            arrays[f"sample_{k}"] = np.concatenate([np.empty((0, self.n_columns)), *self.samples[k]]).ravel()
            arrays[f"owner_{k}"] = np.array(self.owners[k], dtype=np.int64)
        head: dict[str, npt.NDArray[Any]] = {
            "fingerprint": np.frombuffer(fingerprint.encode(), dtype=np.uint8),
            "counts": np.array(counts, dtype=np.int64),
        }
        write_npz(path, head | arrays)

    def load(self, path: Path, fingerprint: str) -> int:
        """Go on with what :meth:`save` has written; return how many runs are done."""
        try:
            head = read_npz(path, {"fingerprint": np.uint8, "counts": np.int64}, mmap=False)
        except ValueError as error:
            raise ValueError(f"checkpoint: remove it, or give another name: {error}") from error
        counts: list[int] = head["counts"].tolist()
        if head["fingerprint"].tobytes() != fingerprint.encode() or counts[:2] != [_CHECKPOINT_VERSION, _ROWS]:
            raise ValueError(
                f"checkpoint {str(path)!r} is of another fit, with other data, functions or weights, or by other "
                "versions of programs: remove it, or give another name"
            )
        done, n_parts = counts[2:4]
        names = {f"part_{f}_{k}": np.float64 for f in range(n_parts) for k in range(3)}
        names |= {f"{name}_{k}": np.float64 for name in ("waiting", "triangle", "sample") for k in range(3)}
        arrays: Mapping[str, Any] = read_npz(path, names | {f"owner_{k}": np.int64 for k in range(3)}, mmap=False)
        rest = iter(counts[4:])
        for f in range(n_parts):
            parts = []
            for k in range(3):
                n_rows, n_axes = next(rest), next(rest)
                array = arrays[f"part_{f}_{k}"]
                parts.append(Part(array.reshape(-1, self.n_columns) if n_axes == 2 else array, n_rows))
            self.parts.append(parts)
        for k, accumulator in enumerate(self.accumulators):
            waiting = arrays[f"waiting_{k}"].reshape(-1, self.n_columns)
            accumulator.restore(waiting, arrays[f"triangle_{k}"], next(rest))
            self.samples[k] = [arrays[f"sample_{k}"].reshape(-1, self.n_columns)]
            self.owners[k] = arrays[f"owner_{k}"].tolist()
        return done

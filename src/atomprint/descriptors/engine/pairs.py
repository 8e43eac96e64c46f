"""Derivatives by the vectors from centres to their neighbours: sparse, and the source of all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.arguments import (
    VARIABLES,
    Gradient,
    Variables,
    as_gradient,
    check_wrt,
    dense,
    flat_cotangents,
)
from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks
from atomprint.descriptors.engine.output import DenseRows, arrange
from atomprint.ragged import locate, offsets_of, owners, places
from atomprint.util import sparse
from atomprint.util.validation import check_bool

IndexArray = npt.NDArray[np.int64]

_CHUNK_BYTES = 16 * 2**20


class PairRows(Protocol):
    """Derivatives by the vectors of pairs that are computed when somebody asks for them."""

    def all(self) -> Array:
        """Return those of all pairs, shape (n_pairs, 3, n_touched): the same array each time."""

    def some(self, pairs: IndexArray) -> Array:
        """Return those of some pairs."""


class PairBlock:
    """Derivatives by the positions of neighbours of one species.

    Pair ``p`` is a centre and an atom, seen along ``vectors[p]`` from the centre. An atom on its own centre is a pair
    too. For descriptors without centres a "pair" is a structure and an atom.

    Parameters
    ----------
    species : int
        Atomic number of the neighbours; 0 where all species are together.
    features : ndarray of int64, shape (n_touched,)
        The features that such neighbours change, ascending; all others have zero derivatives.
    values : ndarray, shape (n_pairs, 3, n_touched)
        Derivatives of these features of the centre (of the structure, where features are averaged or pooled) by the
        vector from the centre to the atom, per Å. Compiled descriptors compute them when they are asked for, and keep
        them then: see :meth:`rows` for some of them.
    structures : ndarray of int64, shape (n_pairs,)
        Index of the structure.
    centers : ndarray of int64, shape (n_pairs,)
        Index of the centre among those of its structure; -1 for descriptors without centres.
    atoms : ndarray of int64, shape (n_pairs,)
        Index of the neighbour within its structure.
    shifts : ndarray of int64, shape (n_pairs, 3)
        Lattice vectors to add to the position of the atom, to reach the image that is meant.
    vectors : ndarray, shape (n_pairs, 3)
        From the centre to this image, in Å; zero for descriptors without centres.
    """

    __slots__ = ("_values", "atoms", "centers", "features", "shifts", "species", "structures", "vectors")

    def __init__(
        self,
        species: int,
        features: IndexArray,
        values: Array | PairRows,
        structures: IndexArray,
        centers: IndexArray,
        atoms: IndexArray,
        shifts: IndexArray,
        vectors: npt.NDArray[np.float64],
    ) -> None:
        self.species = species
        self.features = features
        self._values = values
        self.structures = structures
        self.centers = centers
        self.atoms = atoms
        self.shifts = shifts
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.structures)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies have the numbers, as no calculator can go with them.
        parts = self.structures, self.centers, self.atoms, self.shifts, self.vectors
        return PairBlock, (self.species, self.features, self.values, *parts)

    @property
    def values(self) -> Array:
        """Derivatives by the vector to the atom, shape (n_pairs, 3, n_touched)."""
        return self._values if isinstance(self._values, np.ndarray) else self._values.all()

    def rows(self, pairs: Any = None) -> Array:
        """Return the derivatives by the vectors of some pairs, and compute no others.

        Parameters
        ----------
        pairs : sequence of int, slice or mask, optional
            Which pairs of the block, in any order. Default: all.

        Returns
        -------
        ndarray, shape (n_chosen, 3, n_touched)
            As ``values[pairs]``.

        Raises
        ------
        IndexError
            If there is no such pair.
        """
        if isinstance(self._values, np.ndarray):
            return self._values[slice(None) if pairs is None else pairs]
        return self._values.some(_chosen("pairs", pairs, len(self)))

    def with_parts(self, **changes: Any) -> PairBlock:
        """Return the block with something else in place of some of its parts."""
        parts = {name: getattr(self, name) for name in self.__slots__ if name != "_values"}
        return PairBlock(**parts | {"values": self._values} | changes)


class _Group:
    """The pairs of a compiled calculator, sorted by species: derivatives when they are asked for.

    Parameters
    ----------
    calculator : object
        See ``cpp/local/local.hpp``.
    call : Call
        Structures and centres.
    kinds : ndarray of int64, shape (n_species + 1,)
        Where the pairs of each species start.
    first : ndarray of int64, shape (n_centers, n_species)
        Where those of a centre start among them.
    widths : ndarray of int64, shape (n_species,)
        How many features a neighbour of each species touches.
    """

    def __init__(self, calculator: Any, call: Call, kinds: IndexArray, first: IndexArray, widths: IndexArray) -> None:
        self._calculator = calculator
        self._call = call
        self._kinds = kinds
        self._bounds = np.concatenate([first + kinds[:-1], kinds[None, 1:]])  # of the pairs of each centre, by species
        self._widths = widths
        self._values: list[Array] | None = None

    def all(self, kind: int) -> Array:
        """Return the derivatives of all pairs of a species; those of other species are kept for the next time."""
        values = self._values
        if values is None:
            counts, widths = np.diff(self._kinds), self._widths
            starts = offsets_of(3 * counts * widths)
            flat = np.empty(starts[-1], dtype=self._call.dtype)
            to = np.repeat(starts[:-1], counts) + 3 * np.repeat(widths, counts) * places(self._kinds)
            self._compute(self._call, self._bounds[:-1], to, flat)
            pieces = pairwise(starts)
            values = [flat[a:b].reshape(n, 3, width) for (a, b), n, width in zip(pieces, counts, widths, strict=True)]
            self._values = values
        return values[kind]

    def some(self, kind: int, pairs: IndexArray) -> Array:
        """Return the derivatives of some pairs of a species."""
        if self._values is not None:
            return self._values[kind][pairs]
        width = int(self._widths[kind])
        chosen, place = np.unique(pairs, return_inverse=True)
        values = np.empty((len(chosen), 3, width), dtype=self._call.dtype)
        if len(chosen):
            # Only the structures from the first to the last of these.
            offsets, own = self._call.centers.offsets, self._bounds[:, kind]
            centers = np.searchsorted(own, chosen[[0, -1]] + self._kinds[kind], side="right") - 1
            start, stop = locate(offsets, int(centers[0]))[0], locate(offsets, int(centers[1]))[0] + 1
            bounds = self._bounds[offsets[start] : offsets[stop] + 1]
            shift = offsets_of(bounds[-1] - bounds[0])[:-1] - bounds[0]
            to = np.full(int((bounds[-1] - bounds[0]).sum()), -1)
            to[chosen + self._kinds[kind] + shift[kind]] = 3 * width * np.arange(len(chosen))
            self._compute(self._call[start:stop], bounds[:-1] + shift, to, values.reshape(-1))
        return values[place]

    def _compute(self, call: Call, first: IndexArray, to: IndexArray, values: Array) -> None:
        self._calculator.pair_jacobian(*call.core(), np.ascontiguousarray(first), to, values, call.n_threads)


class _OfKind:
    """The pairs of one species of such a group."""

    def __init__(self, group: _Group, kind: int) -> None:
        self._group, self._kind = group, kind

    def all(self) -> Array:
        return self._group.all(self._kind)

    def some(self, pairs: IndexArray) -> Array:
        return self._group.some(self._kind, pairs)


def compiled_pairs(calculator: Any, call: Call, species: Sequence[int]) -> list[PairBlock]:
    """Return the pairs of a compiled calculator, one block for each species.

    Parameters
    ----------
    calculator : object
        With ``pairs``, ``touched`` and ``pair_jacobian``, see ``cpp/local/local.hpp``.
    call : Call
        Structures and centres.
    species : sequence of int
        Atomic numbers of the species.
    """
    first_centers = call.centers.offsets
    kinds, centers, atoms, shifts, vectors, first = calculator.pairs(*call.core(), call.n_threads)
    touched = [calculator.touched(k) for k in range(len(species))]
    group = _Group(calculator, call, kinds, first, np.array([len(features) for features in touched], dtype=np.int64))
    structures = owners(first_centers)[centers]
    within = centers - first_centers[structures]
    blocks = []
    for k, z in enumerate(species):
        own = slice(kinds[k], kinds[k + 1])
        blocks.append(
            PairBlock(
                species=z,
                features=touched[k],
                values=_OfKind(group, k),
                structures=structures[own],
                centers=within[own],
                atoms=atoms[own],
                shifts=shifts[own],
                vectors=vectors[own],
            )
        )
    return blocks


class PairJacobian:
    """Derivatives of features by the vectors from centres to neighbours, as :meth:`Descriptor.jacobian` returns them.

    It holds the pairs, and of compiled descriptors what their derivatives follow from. Those are computed when they are
    asked for, as all descriptors give them: contracted with :meth:`contract`, summed with :meth:`dense`, of some pairs
    or features with :meth:`rows`, or of all pairs in ``values`` of the blocks. What becomes of the descriptor or the
    structures afterwards changes none of them. Pickles and copies hold the derivatives of all pairs.

    Attributes
    ----------
    blocks : tuple of PairBlock
        The derivatives, one block or several for each species of neighbours.
    n_features : int
        Number of features of a row.
    """

    def __init__(self, blocks: Sequence[PairBlock], call: Call, source: Hooks | None = None) -> None:
        self.blocks = tuple(blocks)
        self.n_features = call.n_features_out
        self._call = call
        self._source = source  # has faster ways to sums over pairs

    def __len__(self) -> int:
        """Return the number of pairs in all blocks."""
        return sum(map(len, self.blocks))

    def __getstate__(self) -> dict[str, Any]:
        bare = replace(self._call.prepared, reduction=None)
        return vars(self) | {"_call": replace(self._call, prepared=bare), "_source": None}

    def __repr__(self) -> str:
        return f"PairJacobian({len(self._call)} structures, {len(self)} pairs, {self.n_features} features)"

    def contract(self, cotangents: Any, wrt: Variables = VARIABLES, attach: bool = True) -> Gradient:
        """Contract with weights on the features.

        Parameters
        ----------
        cotangents : array or list of arrays
            In the shape of the features that ``create`` returns.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by.
        attach : bool
            Whether centres that are atoms move with them.

        Returns
        -------
        Gradient
            The same as :meth:`Descriptor.vjp` gives.

        Raises
        ------
        ValueError, TypeError
            If ``cotangents`` have another shape or are not finite, or ``wrt`` or ``attach`` is not usable.
        """
        names = self._names(wrt)
        check_bool("attach", attach)
        call, batch = self._call, self._call.batch
        weights = dense(flat_cotangents(cotangents, call))
        positions, strain = np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3))
        if self._source is not None:
            self._source._vjp(replace(call, attach=attach), weights, Derivatives(positions, strain, None))
        for block in self.blocks if self._source is None else ():
            rows = block.structures if call.per_structure else call.rows[block.structures] + block.centers
            by_vector = np.einsum("pcf,pf->pc", block.values, weights[rows[:, None], block.features]).astype(np.float64)
            np.add.at(positions, batch.offsets[block.structures] + block.atoms, by_vector)
            if attach:
                pairs, atoms = _attached(block, call)
                np.subtract.at(positions, atoms, by_vector[pairs])
            np.add.at(strain, block.structures, by_vector[:, :, None] * block.vectors[:, None, :])
        return as_gradient(batch, positions if "positions" in names else None, strain if "strain" in names else None)

    def dense(self, wrt: Variables = "positions", attach: bool = False) -> Array | Any:
        """Sum over pairs, to dense derivatives by the positions of all atoms or by the strain.

        Parameters
        ----------
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by.
        attach : bool
            Whether centres that are atoms move with them.

        Returns
        -------
        ndarray, list of ndarray, or tuple of these
            The same as :meth:`Descriptor.derivatives` gives, without the features.

        Raises
        ------
        ValueError, TypeError
            If ``wrt`` or ``attach`` is not usable.
        """
        names = self._names(wrt)
        check_bool("attach", attach)
        call = replace(self._call, attach=attach)
        selection = call.selection
        sizes = {"positions": (int(selection.row_offsets[-1]), 3), "strain": (call.n_rows, 3, 3)}
        out = {name: np.zeros((*sizes[name], self.n_features), dtype=call.dtype) for name in names}
        if self._source is not None:
            self._source._jacobian(call, Derivatives(out.get("positions"), out.get("strain"), None))
        for block in self.blocks if self._source is None else ():
            if "positions" in out:
                add_by_positions(block, call, attach, out["positions"])
            if "strain" in out:
                add_by_strain(block, call, out["strain"])
        results = []
        for name in names:
            by_strain = name == "strain"
            shapes = call.row_shapes if by_strain else np.column_stack([call.row_shapes, selection.counts])
            offsets = call.rows if by_strain else selection.row_offsets
            results.append(arrange(DenseRows(out[name]), offsets, shapes, call.batch.single))
        return results[0] if len(results) == 1 else tuple(results)

    def rows(self, pairs: Any = None, features: Any = None) -> Array:
        """Return the derivatives of some features by the vectors of some pairs, and keep no others in memory.

        Parameters
        ----------
        pairs : sequence of int, slice or mask, optional
            Which pairs, counted through all blocks, in any order. Default: all.
        features : sequence of int, slice or mask, optional
            Which features of a row, in any order. Default: all.

        Returns
        -------
        ndarray, shape (n_chosen_pairs, 3, n_chosen_features)
            Per Å; zero for features that a pair does not change.

        Raises
        ------
        IndexError
            If there is no such pair, or no such feature.
        """
        chosen, columns = _chosen("pairs", pairs, len(self)), _chosen("features", features, self.n_features)
        out = np.zeros((len(chosen), 3, len(columns)), dtype=self._call.dtype)
        starts = offsets_of([len(block) for block in self.blocks])
        for block, start, stop in zip(self.blocks, starts[:-1], starts[1:], strict=True):
            own = np.flatnonzero((chosen >= start) & (chosen < stop))
            place = np.searchsorted(block.features, columns)
            place[place == len(block.features)] = 0
            there = np.flatnonzero(block.features[place] == columns if len(block.features) else [])
            step = max(1, _CHUNK_BYTES // max(1, 3 * len(block.features) * out.itemsize))
            for some in (own[k : k + step] for k in range(0, len(own) if len(there) else 0, step)):
                found = block.rows(chosen[some] - start)
                out[np.ix_(some, np.arange(3), there)] = found[:, :, place[there]]
        return out

    def _names(self, wrt: Variables) -> tuple[str, ...]:
        names = check_wrt(wrt)
        if "strain" in names and any((block.centers < 0).any() for block in self.blocks):
            raise ValueError(
                "wrt must be 'positions': without centres the strain derivative is no sum over pairs, take that of "
                "the descriptor's vjp or derivatives"
            )
        return names


def _chosen(name: str, given: Any, n: int) -> IndexArray:
    """Return the numbers below ``n`` that are meant."""
    try:
        return np.atleast_1d(np.arange(n)[slice(None) if given is None else given])
    except IndexError as error:
        raise IndexError(f"{name}: {error}") from None


def _attached(block: PairBlock, call: Call) -> tuple[IndexArray, IndexArray]:
    """Return the pairs whose centre is an atom, and these atoms, counted over all structures."""
    pairs = np.flatnonzero(block.centers >= 0)
    if len(pairs) == 0:
        return pairs, pairs
    structures = block.structures[pairs]
    atoms = call.centers.atoms[call.centers.offsets[structures] + block.centers[pairs]]
    return pairs[atoms >= 0], (call.batch.offsets[structures] + atoms)[atoms >= 0]


def _add(out: Array, rows: IndexArray, features: IndexArray, values: Array, factors: Array) -> None:
    """Add ``factors[p] * values[p]`` to the features of ``out[rows[p]]``; rows may occur more than once."""
    if values.size == 0:
        return
    places, column = np.unique(rows, return_inverse=True)
    sums = sparse.csr_array(
        (factors.astype(values.dtype), (column, np.arange(len(rows)))), shape=(len(places), len(rows))
    )
    added = (sums @ values.reshape(len(rows), -1)).reshape(len(places), *values.shape[1:])
    out[np.ix_(places, np.arange(3), features)] += added


def add_by_positions(block: PairBlock, call: Call, attach: bool, out: Array) -> None:
    """Add derivatives by the selected atoms to ``out``, shape (n_out, 3, n_features), see :class:`Selection`."""
    selection, first_atoms = call.selection, call.batch.offsets[block.structures]
    within = np.zeros_like(block.centers) if call.per_structure else block.centers
    first = selection.row_offsets[block.structures] + within * selection.counts[block.structures]
    ends = [(1.0, np.arange(len(block)), first_atoms + block.atoms)]
    if attach:
        ends.append((-1.0, *_attached(block, call)))
    for sign, pairs, atoms in ends:
        slots = selection.slots[atoms]
        kept = pairs[slots >= 0]
        _add(out, first[kept] + slots[slots >= 0], block.features, block.values[kept], np.full(len(kept), sign))


def add_by_strain(block: PairBlock, call: Call, out: Array) -> None:
    """Add derivatives by the strain to ``out``, shape (n_rows, 3, 3, n_features)."""
    rows = block.structures if call.per_structure else call.rows[block.structures] + block.centers
    for axis in range(3):
        _add(out[:, :, axis], rows, block.features, block.values, block.vectors[:, axis])

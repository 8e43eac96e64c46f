"""Derivatives by the vectors from centres to their neighbours: sparse, and the source of all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from atomprint.descriptors.engine.call import Array, Call
from atomprint.descriptors.engine.output import DenseRows, arrange
from atomprint.ragged import offsets_of, owners
from atomprint.util import sparse
from atomprint.util.validation import check_bool

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
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
        vector from the centre to the atom, per Å.
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

    species: int
    features: IndexArray
    values: Array
    structures: IndexArray
    centers: IndexArray
    atoms: IndexArray
    shifts: IndexArray
    vectors: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)


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
    places, first_centers = call.core(), call.centers.offsets
    kinds, centers, atoms, shifts, vectors, first = calculator.pairs(*places, call.n_threads)
    touched = [calculator.touched(k) for k in range(len(species))]
    sizes = 3 * np.diff(kinds) * [len(features) for features in touched]
    offsets = offsets_of(sizes)
    values = np.empty(offsets[-1], dtype=call.dtype)
    calculator.pair_jacobian(*places, first, offsets, values, call.n_threads)
    structures = owners(first_centers)[centers]
    within = centers - first_centers[structures]
    blocks = []
    for k, z in enumerate(species):
        own = slice(kinds[k], kinds[k + 1])
        blocks.append(
            PairBlock(
                species=z,
                features=touched[k],
                values=values[offsets[k] : offsets[k + 1]].reshape(kinds[k + 1] - kinds[k], 3, len(touched[k])),
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

    Attributes
    ----------
    blocks : tuple of PairBlock
        The derivatives, one block or several for each species of neighbours.
    n_features : int
        Number of features of a row.
    """

    def __init__(self, blocks: Sequence[PairBlock], call: Call) -> None:
        self.blocks = tuple(blocks)
        self.n_features = call.n_features_out
        self._call = call

    def __repr__(self) -> str:
        n_pairs = sum(map(len, self.blocks))
        return f"PairJacobian({len(self._call)} structures, {n_pairs} pairs, {self.n_features} features)"

    def vjp(self, cotangents: Any, wrt: Variables = VARIABLES, attach: bool = True) -> Gradient:
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
        """
        names = self._names(wrt)
        check_bool("attach", attach)
        call, batch = self._call, self._call.batch
        weights = dense(flat_cotangents(cotangents, call))
        positions, strain = np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3))
        for block in self.blocks:
            rows = block.structures if call.per_structure else call.rows[block.structures] + block.centers
            by_vector = np.einsum("pcf,pf->pc", block.values, weights[rows[:, None], block.features]).astype(np.float64)
            np.add.at(positions, batch.offsets[block.structures] + block.atoms, by_vector)
            if attach:
                pairs, atoms = _attached(block, call)
                np.subtract.at(positions, atoms, by_vector[pairs])
            np.add.at(strain, block.structures, by_vector[:, :, None] * block.vectors[:, None, :])
        return as_gradient(batch, positions if "positions" in names else None, strain if "strain" in names else None)

    def derivatives(self, wrt: Variables = "positions", attach: bool = False) -> Any:
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
        """
        names = self._names(wrt)
        check_bool("attach", attach)
        call = self._call
        selection, n_rows = call.selection, call.n_rows
        results = []
        for name in names:
            by_strain = name == "strain"
            n_out, axes = (n_rows, (3, 3)) if by_strain else (int(selection.row_offsets[-1]), (3,))
            out = np.zeros((n_out, *axes, self.n_features), dtype=call.dtype)
            for block in self.blocks:
                if by_strain:
                    add_by_strain(block, call, out)
                else:
                    add_by_positions(block, call, attach, out)
            shapes = call.row_shapes if by_strain else np.column_stack([call.row_shapes, selection.counts])
            offsets = call.rows if by_strain else selection.row_offsets
            results.append(arrange(DenseRows(out), offsets, shapes, call.batch.single))
        return results[0] if len(results) == 1 else tuple(results)

    def _names(self, wrt: Variables) -> tuple[str, ...]:
        names = check_wrt(wrt)
        if "strain" in names and any((block.centers < 0).any() for block in self.blocks):
            raise ValueError(
                "wrt must be 'positions': without centres the strain derivative is no sum over pairs, take that of "
                "the descriptor's vjp or derivatives"
            )
        return names


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

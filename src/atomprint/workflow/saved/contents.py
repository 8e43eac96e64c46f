"""What structures and compositions consist of, as the training domain sees them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from atomprint.chemistry.contents import amounts_of, each_counted, numbers_of
from atomprint.chemistry.formula import ATOMIC_NUMBERS
from atomprint.chemistry.smiles import Smiles
from atomprint.structures import Batch, StructureError, as_batch, is_structure, reason_of
from atomprint.workflow.saved import seen
from atomprint.workflow.saved.geometry import Geometry, geometries
from atomprint.workflow.saved.seen import Identity


class Content(NamedTuple):
    """What a structure or a composition consists of."""

    elements: frozenset[int]
    n_atoms: int | None  # None for a composition
    geometry: Geometry | None = None
    identity: Identity | None = None
    n_repeats: int | None = None  # directions in which it repeats, where that is not looked at; None for a formula


def contents_of(items: Any, structures: bool, known: Container[int] | None = None) -> list[Content]:
    """Return what structures or compositions consist of.

    Parameters
    ----------
    items : sequence or Batch
        Structures or compositions.
    structures : bool
        Whether they are looked at as structures: then they have a geometry too.
    known : container of int, optional
        Keys of training samples: only what has one of these is described so far that it would be recognised. Default:
        everything is.

    Raises
    ------
    StructureError
        If one cannot be read.
    """
    if structures:
        batch = as_batch(items, periodic=None)
        elements = map(_numbers, each_counted(batch))
        identities = seen.of_structures(batch, known)
        return list(map(Content, elements, batch.n_atoms.tolist(), geometries(batch), identities))
    if isinstance(items, Batch):
        items = list(items)
    found = []
    for s, item in enumerate(items):
        try:
            amounts = amounts_of(item)
            n_atoms = len(numbers_of(item)) if is_structure(item) and getattr(item, "is_ordered", True) else None
        except (ValueError, TypeError) as error:
            raise StructureError(s, None, reason_of(error)) from error
        n_repeats = sum(map(bool, getattr(item, "pbc", ()))) if is_structure(item) else None  # molecules may have none
        identity = seen.of_molecule(item) if isinstance(item, Smiles) else seen.of_composition(amounts)
        found.append(Content(_numbers(amounts), n_atoms, None, identity, n_repeats))
    return found


def _numbers(amounts: Mapping[str, float]) -> frozenset[int]:
    return frozenset(ATOMIC_NUMBERS[symbol] for symbol, amount in amounts.items() if amount)

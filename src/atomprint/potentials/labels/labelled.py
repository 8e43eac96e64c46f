"""What a data set says of its structures: energies, forces, stresses, where they stand, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from ase.units import GPa

from atomprint.formats.judge import close_pairs
from atomprint.formats.labels import matrices_of_six
from atomprint.potentials.labels.alike import first_alike, matching
from atomprint.ragged import pick
from atomprint.structures import Batch, as_batch, joined
from atomprint.util.notebook import card
from atomprint.util.text import counted
from atomprint.util.types import FloatArray, Indices

PLURAL = {"energy": "energies", "forces": "forces", "stress": "stresses"}
_LARGE_STRESS = 1.0  # eV/Å^3, 160 GPa: few data have as much in most structures, and nearly all have in GPa


@dataclass(frozen=True, eq=False)
class LabelledStructures:
    """Structures with the energies, forces and stresses that are known of them; nan where one is not.

    Parameters
    ----------
    structures : Batch
        The structures, checked.
    energies : ndarray of shape (n,)
        Total energies in eV.
    forces : ndarray of shape (n_atoms, 3)
        In eV/Å, atom by atom of all structures.
    stresses : ndarray of shape (n, 3, 3)
        In eV/Å^3, positive in tension: dE/dstrain / V.
    config_types : tuple of str
        Which kind of configuration each is, such as ``"liquid"``; empty where this is not said.
    keys : mapping of str to str
        Where ``"energy"``, ``"forces"``, ``"stress"`` and ``"config_type"`` were found; one that was not is left out.
    places : tuple of str
        Where each structure comes from, for messages: ``"train.extxyz, structure 3 (line 202)"``; may be left out.
    notes : tuple of str
        What was found and chosen, in sentences.
    warnings : tuple of str
        What is likely to be a mistake, in sentences.
    """

    structures: Batch
    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray
    config_types: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, n_atoms = len(self.structures), len(self.structures.numbers)
        for name, shape in (("energies", (n,)), ("forces", (n_atoms, 3)), ("stresses", (n, 3, 3))):
            if (got := getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape} for these structures, got {got}")
        if not self.places:
            object.__setattr__(self, "places", tuple(f"structure {s}" for s in range(n)))
        for name in ("config_types", "places"):
            if (number := len(getattr(self, name))) != n:
                raise ValueError(f"{name} must be given for each of {n} structures, got {number}")

    @classmethod
    def of(
        cls,
        structures: Any,
        *,
        energies: npt.ArrayLike | None = None,
        forces: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
        stresses: npt.ArrayLike | None = None,
        config_types: Sequence[str] | None = None,
    ) -> LabelledStructures:
        """Return structures with labels that are given as arrays.

        Parameters
        ----------
        structures : structure or sequence of structures
            See :data:`~atomprint.structures.Structures`.
        energies, forces, stresses : array_like, optional
            See the class; forces also as a list with an array for each structure, stresses also with six numbers each
            (xx, yy, zz, yz, xz, xy). nan, or None for a whole structure, where one is not known.
        config_types : sequence of str, optional
            See the class.

        Raises
        ------
        ValueError
            If there are not as many labels as structures or atoms.
        """
        batch = as_batch(structures, periodic=None)
        n, n_atoms = len(batch), len(batch.numbers)
        if isinstance(forces, Sequence) and len(forces) == n and any(np.ndim(part) != 1 for part in forces):
            parts = []
            for k, (part, size) in enumerate(zip(forces, batch.n_atoms.tolist(), strict=True)):
                parts.append(np.full((size, 3), np.nan) if part is None else np.asarray(part, dtype=np.float64))
                if parts[-1].shape != (size, 3):
                    raise ValueError(f"forces of structure {k} must have shape {(size, 3)}, got {parts[-1].shape}")
            forces = np.concatenate(parts)
        stress = np.full((n, 3, 3), np.nan) if stresses is None else np.array(stresses, dtype=np.float64)
        if stress.shape == (n, 6):
            stress = matrices_of_six(stress)
        return checked(
            cls(
                batch,
                np.full(n, np.nan) if energies is None else np.array(energies, dtype=np.float64),
                np.full((n_atoms, 3), np.nan) if forces is None else np.array(forces, dtype=np.float64),
                stress,
                ("",) * n if config_types is None else tuple(config_types),
                {
                    kind: PLURAL[kind]
                    for kind, given in zip(PLURAL, (energies, forces, stresses), strict=True)
                    if given is not None
                },
            )
        )

    def __len__(self) -> int:
        return len(self.structures)

    def __repr__(self) -> str:
        return f"LabelledStructures({self.summary()})"

    def _repr_html_(self) -> str:
        told = [("notes", " ".join(self.notes)), ("warnings", " ".join(self.warnings))]
        return card("Structures with labels", [("", self.summary()), *told])

    def __getitem__(self, key: Any) -> LabelledStructures:
        """Return some of the structures, or one: by an index, a slice, or an array of indices or of truth values."""
        return self.pick(np.atleast_1d(np.arange(len(self))[key]))

    @classmethod
    def joined(cls, parts: Sequence[LabelledStructures]) -> LabelledStructures:
        """Return the structures of all parts, one part after the other.

        Parameters
        ----------
        parts : sequence of LabelledStructures
            At least one.
        """
        keys: dict[str, str] = {}
        for part in parts:
            for kind, key in part.keys.items():
                known = keys.setdefault(kind, key)
                if key not in known.split(" or "):
                    keys[kind] = f"{known} or {key}"
        return cls(
            joined(*(part.structures for part in parts)),
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.forces for part in parts]),
            np.concatenate([part.stresses for part in parts]),
            config_types=tuple(kind for part in parts for kind in part.config_types),
            keys=keys,
            places=tuple(place for part in parts for place in part.places),
            notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
            warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        )

    @cached_property
    def duplicate_of(self) -> Indices:
        """Index of the first structure that is the same, its own for one that occurs once; shape (n,).

        The same are atoms of the same elements at the same places (to 1e-4 Å), in any order, moved by any lattice
        vectors and from any origin; what is turned, or has other vectors of the same lattice, is another.
        """
        return first_alike(self.structures)

    @property
    def by_content(self) -> Indices:
        """Order of the structures by checksums of them and their labels: the same, however they were shuffled."""
        batch, sums = self.structures, []
        for s, (start, stop) in enumerate(pairwise(batch.offsets.tolist())):
            atoms = batch.numbers[start:stop], batch.positions[start:stop], self.forces[start:stop]
            parts = *atoms, batch.cells[s], batch.pbc[s], self.energies[s], self.stresses[s]
            sums.append(hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest())
        return np.array(sorted(range(len(sums)), key=sums.__getitem__), dtype=np.intp)

    @property
    def species(self) -> list[str]:
        """Symbols of the elements, by atomic number."""
        return [chemical_symbols[z] for z in np.unique(self.structures.numbers)]

    @property
    def volumes(self) -> FloatArray:
        """Volume of the cell of each structure in Å^3; 0 where it has none."""
        found: FloatArray = np.abs(np.linalg.det(self.structures.cells))
        return found

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether any label of each structure is known; shape (n,)."""
        of_atom: npt.NDArray[np.bool_] = np.isfinite(self.forces).sum(axis=1) > 0
        known: npt.NDArray[np.bool_] = np.isfinite(self.energies) | np.isfinite(self.stresses).any(axis=(1, 2))
        known |= any_in(self.structures, of_atom)
        return known

    @property
    def counts(self) -> dict[str, int]:
        """For how many structures (energies, stresses) and atoms (forces) each label is known."""
        return {
            "energy": int(np.isfinite(self.energies).sum()),
            "forces": int(np.isfinite(self.forces).all(axis=1).sum()),
            "stress": int(np.isfinite(self.stresses).all(axis=(1, 2)).sum()),
        }

    def pick(self, structures: npt.ArrayLike) -> LabelledStructures:
        """Return some of the structures, in this order; what was said of all of them is said of these."""
        chosen = np.arange(len(self))[np.asarray(structures)]
        atoms, _ = pick(self.structures.offsets, chosen)
        return replace(
            self,
            structures=self.structures.pick(chosen),
            energies=self.energies[chosen],
            forces=self.forces[atoms],
            stresses=self.stresses[chosen],
            config_types=tuple(self.config_types[s] for s in chosen),
            places=tuple(self.places[s] for s in chosen),
        )

    def summary(self) -> str:
        """Return in a sentence how many structures there are, and which labels, from which keys."""
        counts = self.counts
        said = []
        for kind, n_all, one, many in (
            ("energy", len(self), "energy", "energies"),
            ("forces", len(self.structures.numbers), "force on an atom", "forces on atoms"),
            ("stress", len(self), "stress", "stresses"),
        ):
            if kind in self.keys:
                share = f"{counts[kind]:,}" + (f" of {n_all:,}" if counts[kind] < n_all else "")
                said.append(f"{share} {one if n_all == 1 else many} ({self.keys[kind]})")
        elements = ", ".join(self.species)
        what = f"{counted(len(self), 'structure')} with {counted(len(self.structures.numbers), 'atom')} of {elements}"
        return f"{what}: {', '.join(said)}"


def checked(labels: LabelledStructures) -> LabelledStructures:
    """Return structures with labels that are finite or nan, and with all that there is to say of them."""
    notes, warnings = list(labels.notes), list(labels.warnings)
    for name in ("energies", "forces", "stresses"):
        values = getattr(labels, name)
        if n := int(np.isinf(values).sum()):
            values[np.isinf(values)] = np.nan
            warnings.append(f"{counted(n, 'number')} of the {name} are infinite, and not used.")
    if not any(labels.counts.values()):
        raise ValueError("structures have no energies, forces or stresses that are finite numbers")
    batch = labels.structures
    for name, lacks in (
        ("energy", np.isnan(labels.energies)),
        ("forces", any_in(batch, np.isnan(labels.forces.sum(axis=1)))),
        ("stress", np.isnan(labels.stresses.sum(axis=(1, 2)))),
    ):
        if name in labels.keys and lacks.any():
            where = [labels.places[s] for s in np.flatnonzero(lacks)]
            more = f" and {len(where) - 3} more" if len(where) > 3 else ""
            which = "Some forces" if name == "forces" else PLURAL[name].capitalize()
            notes.append(
                f"{which} are missing for {len(where)} of {counted(len(labels), 'structure')} "
                f"({', '.join(where[:3])}{more}): what there is is used."
            )
    warnings += _symmetrise(labels)
    stresses = labels.stresses[np.isfinite(labels.stresses).all(axis=(1, 2))]
    if len(stresses) and (typical := float(np.median(np.abs(stresses).max(axis=(1, 2))))) > _LARGE_STRESS:
        key = labels.keys.get("stress", "stress")
        warnings.append(
            f"Stresses ({key!r}) are {typical:.3g} eV/Å^3 or more in half of the structures, which is "
            f"{typical / GPa:,.0f} GPa. Are the units eV/Å^3?"
        )
    if (n := len(labels) - len(np.unique(labels.duplicate_of))) > 0:
        warnings += _on_duplicates(labels, n)
    if found := close_pairs(batch.core()):
        s, atom, other, distance, _ = found[0]
        more = f"; {len(found)} structures have such atoms" if len(found) > 1 else ""
        z = batch.numbers[batch.offsets[s] :]
        one, two = (f"{i} ({chemical_symbols[z[i]]})" for i in (atom, other))
        warnings.append(
            f"{labels.places[s]}: atoms {one} and {two} are {distance:.3g} Å apart, nearer than atoms come in "
            f"matter{more}."
        )
    return replace(labels, notes=tuple(notes), warnings=tuple(warnings))


def _symmetrise(labels: LabelledStructures) -> list[str]:
    """Make stresses symmetric, and return in a sentence which were not by more than rounding."""
    stresses, turned = labels.stresses, labels.stresses.swapaxes(1, 2)
    skew = np.nan_to_num(np.abs(stresses - turned).max(axis=(1, 2)))
    crooked = np.flatnonzero(skew > 1e-3 * np.abs(stresses).max(axis=(1, 2)) + 1e-6)
    stresses[:] = (stresses + turned) / 2
    if not len(crooked):
        return []
    worst, key = int(np.argmax(skew)), labels.keys.get("stress", "stress")
    return [
        f"Stresses ({key!r}) of {counted(len(crooked), 'structure')} are not symmetric, "
        f"by {skew[worst]:.2g} eV/Å^3 for {labels.places[worst]}: their symmetric part is used. Are they stresses?"
    ]


def any_in(batch: Batch, atoms: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return for each structure whether one of its atoms is."""
    sums = np.concatenate([[0], np.cumsum(atoms)])
    found: npt.NDArray[np.bool_] = sums[batch.offsets[1:]] > sums[batch.offsets[:-1]]
    return found


def _on_duplicates(labels: LabelledStructures, n: int) -> list[str]:
    """Return in sentences which structures come twice, and by how much their labels differ."""
    again = np.flatnonzero(labels.duplicate_of != np.arange(len(labels)))
    first = labels.duplicate_of[again]
    pair = f"{labels.places[again[0]]} is {labels.places[first[0]]}"
    are = "is" if n == 1 else "are"
    more = ", …" if n > 1 else ""
    said = [f"{counted(n, 'structure')} {are} the same as one before, and count again ({pair}{more})."]
    batch = labels.structures
    gaps = {
        "energy": np.abs(labels.energies[again] - labels.energies[first]) / batch.n_atoms[again],
        "forces": np.array([_largest_gap(labels, s, t) for s, t in zip(again.tolist(), first.tolist(), strict=True)]),
        "stress": np.abs(labels.stresses[again] - labels.stresses[first]).max(axis=(1, 2)),
    }
    for kind, (least, factor, unit) in _DIFFERENT.items():
        gap = np.nan_to_num(gaps[kind])
        if (n_gaps := int(np.sum(gap > least))) > 0:
            worst = int(np.argmax(gap))
            of_others = f" ({counted(n_gaps, 'structure')} in all)" if n_gaps > 1 else ""
            said.append(
                f"The same structure has different {PLURAL[kind]}: {labels.places[again[worst]]} and "
                f"{labels.places[first[worst]]} differ by {factor * gap[worst]:.3g} {unit}{of_others}."
            )
    return said


# What labels of the same structure may differ by, and how it is told.
_DIFFERENT = {"energy": (1e-4, 1e3, "meV/atom"), "forces": (0.01, 1.0, "eV/Å"), "stress": (1e-3, 1 / GPa, "GPa")}


def _largest_gap(labels: LabelledStructures, one: int, other: int) -> float:
    """Return by how much the forces of two structures that are the same differ at most, in eV/Å."""
    offsets = labels.structures.offsets
    mine, theirs = (labels.forces[offsets[s] : offsets[s + 1]] for s in (one, other))
    if (order := matching(labels.structures, one, other)) is None:  # the same as a third, but hardly
        return 0.0
    gaps = np.linalg.norm(mine - theirs[order], axis=1)
    return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0

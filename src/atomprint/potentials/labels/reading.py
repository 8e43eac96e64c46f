"""Energies, forces and stresses are found where they are, and never taken from another key in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.formats.folders import row_of
from atomprint.formats.judge import close_pairs
from atomprint.formats.labels import is_mask, label_kind, label_of_row, told_unit, words_of
from atomprint.formats.reading import open_source
from atomprint.formats.roles import choose_roles
from atomprint.formats.source import Row
from atomprint.formats.structures import atoms_of
from atomprint.potentials.labels.labelled import PLURAL, LabelledStructures, any_in, checked
from atomprint.structures import Batch, StructureError, as_batch, is_structure
from atomprint.util.text import counted
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_real

Key: TypeAlias = str | Sequence[str] | None
"""Name of a key; several, of which each structure's first is taken; ``""`` for none; None to find it."""

CONVENTIONS = ("stress", "-stress", "virial", "-virial")
LARGE_FORCE = 200.0
"""Structures with a force beyond this, in eV/Å, are mistakes, or would draw a fit to themselves."""

_CONFIGURATIONS = ("config_type", "configuration_type", "config", "configtype")
_ARGUMENTS = {"energy": "energy_key", "forces": "forces_key", "stress": "stress_key"}
_SAME = 1e-6  # eV, eV/Å, eV/Å^3: labels that differ by less are the same, but for how they were printed
_PRINTED = 1e-7  # and so do those that differ by less of their size, as of single precision


class _Item(NamedTuple):
    """A structure, its row, and where it comes from."""

    atoms: Any
    row: Row
    place: str


def read_labels(
    structures: Any,
    *,
    energy_key: Key = None,
    forces_key: Key = None,
    stress_key: Key = None,
    stress_convention: str | None = None,
    config_key: str | None = None,
    max_force: float | None = LARGE_FORCE,
    allow_close: bool = False,
    on_error: str = "raise",
) -> LabelledStructures:
    """Read structures with their energies, forces and stresses.

    Parameters
    ----------
    structures : path, structure, or sequence of these
        Files (extended xyz, trajectories, output of VASP, ASE databases, JSON), or ``ase.Atoms`` and pymatgen objects.
        Labels are looked for in ``info``, ``arrays`` and results of calculators, which are never asked to compute.
        :class:`LabelledStructures` are returned as they are.
    energy_key, forces_key, stress_key : str, sequence of str or None
        Where labels are. Several keys: of each structure the first that it has. ``""``: none are used. None is the only
        key with a usual name, or the one that has the values of all others that there are.
    stress_convention : {"stress", "-stress", "virial", "-virial"} or None
        What the numbers of ``stress_key`` are: ``"stress"`` in eV/Å^3, positive in tension (ASE's); ``"-stress"``,
        positive in compression; ``"virial"`` in eV, -V times the stress, -dE/dstrain (QUIP's); ``"-virial"`` in eV,
        dE/dstrain. None goes by the name of the key, and by how its values change with the volume.
    config_key : str or None
        Key that tells what kind of configuration each is; None is ``"config_type"``, if it is there.
    max_force : float or None
        Labels of structures with a force larger than this, in eV/Å, are not used, which is told: least squares follow
        the largest. None uses all.
    allow_close : bool
        Whether to use structures whose atoms are nearer than any in matter (0.5 Å, or 0.3 of the sum of their covalent
        radii): mostly mistakes, which are left out and told.
    on_error : {"raise", "skip"}
        What to do with a structure or label that cannot be read: raise, or leave out the structure and say so.

    Returns
    -------
    LabelledStructures

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a key does not exist; the message lists those that do. If several keys have different values, or none of
        them is there for all structures; the message lists them and says which argument settles it. If the sign of
        stresses cannot be known. If there are no labels at all. If a structure or a label cannot be read; the
        message names it.
    """
    if isinstance(structures, LabelledStructures):
        return structures
    check_choice("on_error", on_error, ("raise", "skip"))
    if max_force is not None:
        check_real("max_force", max_force, above=0)
    if stress_convention is not None:
        check_choice("stress_convention", stress_convention, CONVENTIONS)
    reader = _Reader(on_error == "skip")
    items = reader.items(structures)
    batch, items = reader.batch(items)
    asked = {"energy": energy_key, "forces": forces_key, "stress": stress_key}
    found: dict[str, tuple[str, list[Any]]] = {}
    for kind, key in asked.items():
        chosen = _choose(kind, _as_keys(key, _ARGUMENTS[kind]), items, reader)
        if chosen is not None:
            found[kind] = chosen
    if not allow_close:
        reader.refuse_close(batch)
    if reader.bad:
        kept = [s for s in range(len(items)) if s not in reader.bad]
        reader.leave_out(items)
        if not kept:
            raise ValueError(f"no structure can be used; {reader.left[0]}")
        items = [items[s] for s in kept]
        batch = batch.pick(kept)
        found = {kind: (key, [values[s] for s in kept]) for kind, (key, values) in found.items()}
    if not found:
        raise ValueError(_none_found(items, asked))
    reader.tell_unused(items, asked, found)
    for kind, (key, _) in found.items():
        if unit := told_unit(key, kind):
            name, ours = _ARGUMENTS[kind], _UNITS[kind]
            rule = f"{name}: {key!r} is in {unit} by its name, and labels must be in {ours}: convert it"
            if asked[kind] is None:
                raise ValueError(f"{rule}, or name the key if it is in {ours}")
            reader.warnings.append(f"{rule}.")
    return reader.labelled(batch, items, found, stress_convention, config_key, max_force)


def _as_keys(key: Key, argument: str) -> tuple[str, ...] | None:
    """Return keys as a tuple, which is empty for none; None if they are to be found."""
    if key is None:
        return None
    keys = (key,) if isinstance(key, str) or not isinstance(key, Iterable) else tuple(key)
    for name in keys:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a name or several names, got {name!r}")
    return tuple(name for name in keys if name)


class _Reader:
    """Reads structures and their labels, and keeps what there is to say of them."""

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.left: list[str] = []
        self.stale: list[str] = []
        self.bad: dict[int, str] = {}

    def items(self, structures: Any) -> list[_Item]:
        """Return structures with what is said of each."""
        if isinstance(structures, str | PathLike):
            found = self._of_file(Path(structures), alone=True)
        elif is_structure(structures):
            found = [self._of_object(structures, 0)]
        elif isinstance(structures, Batch):
            found = [_Item(atoms, Row(structure=atoms), f"structure {s}") for s, atoms in enumerate(structures)]
        elif isinstance(structures, Iterable):
            found = []
            for item in structures:
                if isinstance(item, str | PathLike):
                    found += self._of_file(Path(item), alone=False)
                else:
                    found.append(self._of_object(item, len(found)))
        else:
            raise TypeError(
                f"structures must be files or structures, or a sequence of these, got {type(structures).__name__}"
            )
        if not found:
            why = f": {self.left[0]}" if self.left else ""
            raise ValueError(f"structures must hold at least one structure that can be read{why}")
        return found

    def _of_file(self, path: Path, alone: bool) -> list[_Item]:
        _, source = open_source(path)
        self.notes += source.notes
        roles = choose_roles(source, targets={}, structure=None, formula=None, id_=None, groups={})
        if not roles.has_structures:
            raise ValueError(f"{path.name} has formulas, but no structures")
        found = []
        for number, row in enumerate(source.rows):
            line = "" if row.line is None else f" (line {row.line})"
            place = f"{path.name}, structure {number}{f' ({row.id})' if row.id else line}"
            try:
                if row.problem is not None:
                    raise ValueError(row.problem[1])
                raw = row.structure if roles.structure is None else row.get(roles.structure)
                atoms = atoms_of(raw, path.parent, allow_close=True)
            except ValueError as error:
                if not self.skip:
                    raise ValueError(f"{place}: {error}") from error
                self.left.append(f"{place}: {error}")
                continue
            found.append(_Item(atoms, self._fresh(row, atoms, place), place))
        return found

    def _of_object(self, item: Any, index: int) -> _Item:
        place = f"structure {index}"
        if isinstance(item, Atoms):
            return _Item(item, self._fresh(row_of(item), item, place), place)
        fields = getattr(item, "properties", None)
        arrays = getattr(item, "site_properties", None)
        fields, arrays = (dict(said) if isinstance(said, Mapping) else {} for said in (fields, arrays))
        return _Item(item, Row(fields, item, arrays), place)

    def _fresh(self, row: Row, atoms: Any, place: str) -> Row:
        """Return a row without results of a calculator that belong to other positions."""
        calc = getattr(atoms, "calc", None)
        of = getattr(calc, "atoms", None)
        results = getattr(calc, "results", None)
        if not results or not isinstance(of, Atoms):
            return row
        if (
            len(of) == len(atoms)
            and np.array_equal(of.numbers, atoms.numbers)
            and np.array_equal(of.positions, atoms.positions)
            and np.array_equal(of.cell.array, atoms.cell.array)
            and np.array_equal(of.pbc, atoms.pbc)
        ):
            return row
        self.stale.append(place)
        return row_of(atoms.copy())

    def batch(self, items: list[_Item]) -> tuple[Batch, list[_Item]]:
        """Return structures as a batch, and those that are in it."""
        try:
            return as_batch([item.atoms for item in items], periodic=None), items
        except StructureError as error:
            if not self.skip:
                raise ValueError(f"{items[error.index].place}: {error.reason}") from error
        kept = []
        for item in items:
            try:
                as_batch([item.atoms], periodic=None)
            except StructureError as error:
                self.left.append(f"{item.place}: {error.reason}")
            else:
                kept.append(item)
        if not kept:
            raise ValueError(f"structures must hold at least one structure that can be used; {self.left[0]}")
        return as_batch([item.atoms for item in kept], periodic=None), kept

    def refuse_close(self, batch: Batch) -> None:
        """Leave out structures with atoms that are nearer than any in matter."""
        for s, atom, other, distance, _ in close_pairs(batch.core()):
            z = batch.numbers[batch.offsets[s] :]
            one, two = (f"{i} ({chemical_symbols[z[i]]})" for i in (atom, other))
            reason = f"atoms {one} and {two} are {distance:.3g} Å apart, nearer than atoms come (allow_close uses them)"
            self.bad.setdefault(s, reason)

    def tell_unused(self, items: list[_Item], asked: Mapping[str, Key], found: Mapping[str, Any]) -> None:
        """Note energies that are there but per atom by their name, which nobody asked for."""
        if asked["energy"] is not None or "energy" in found:
            return
        names = dict.fromkeys(name for item in items for name in item.row.names())
        if per_atom := next((name for name in names if {"energy", "per", "atom"} <= words_of(name)), ""):
            self.notes.append(f"No energies are used: {per_atom!r} is per atom, and may be given as energy_key.")

    def leave_out(self, items: list[_Item]) -> None:
        """Note structures whose labels cannot be read."""
        self.left += [f"{items[s].place}: {reason}" for s, reason in sorted(self.bad.items())]

    def labelled(
        self,
        batch: Batch,
        items: list[_Item],
        found: Mapping[str, tuple[str, list[Any]]],
        convention: str | None,
        config_key: str | None,
        max_force: float | None,
    ) -> LabelledStructures:
        """Return structures and labels in the units of this package, with what there is to say of them."""
        energies, stresses = np.full(len(batch), np.nan), np.full((len(batch), 3, 3), np.nan)
        forces = np.full((len(batch.numbers), 3), np.nan)
        if "energy" in found:
            key, values = found["energy"]
            energies[:] = [np.nan if value is None else value for value in values]
            if {"per", "atom"} <= words_of(key):
                energies *= batch.n_atoms
                self.notes.append(f"{key!r} is an energy per atom by its name: multiplied by the number of atoms.")
        if "forces" in found:
            key, values = found["forces"]
            for s, value in enumerate(values):
                if value is not None:
                    forces[batch.offsets[s] : batch.offsets[s + 1]] = value
            if label_kind(key.split(" or ")[0]) == "gradient":
                forces *= -1
                self.notes.append(f"{key!r} is the derivative of the energy by its name: forces are its negative.")
            self._mask(batch, items, forces)
        beyond = self._beyond(batch, items, forces, max_force)
        if "stress" in found:
            key, values = found["stress"]
            for s, value in enumerate(values):
                if value is not None:
                    stresses[s] = value
            stresses = self._stresses(batch, key, stresses, convention)
        energies[beyond], stresses[beyond] = np.nan, np.nan
        forces[np.repeat(beyond, batch.n_atoms)] = np.nan
        keys = {kind: key for kind, (key, _) in found.items()}
        config_types, config_key = self._configurations(items, config_key)
        if config_key:
            keys["config_type"] = config_key
        if self.stale:
            which = self.stale[0] + (f" and {len(self.stale) - 1} more" if len(self.stale) > 1 else "")
            self.warnings.append(
                f"{which}: the results of the calculator belong to other positions (the atoms moved since, "
                "or several structures share one calculator), and are not used."
            )
        if self.left:
            more = f"; and {len(self.left) - 3} more" if len(self.left) > 3 else ""
            self.warnings.append(f"Left out, {counted(len(self.left), 'structure')}: {'; '.join(self.left[:3])}{more}.")
        return checked(
            LabelledStructures(
                batch,
                energies,
                forces,
                stresses,
                config_types,
                keys,
                tuple(item.place for item in items),
                tuple(self.notes),
                tuple(self.warnings),
            )
        )

    def _mask(self, batch: Batch, items: list[_Item], forces: FloatArray) -> None:
        """Put nan where a mask of the file says that forces are not to be used."""
        n_masked = 0
        for s, item in enumerate(items):
            for name in item.row.arrays:
                mask = np.asarray(item.row.arrays[name])
                if is_mask(name) and mask.dtype.kind in "biu" and mask.shape == (batch.n_atoms[s],):
                    own = forces[batch.offsets[s] : batch.offsets[s + 1]]
                    off = ~mask.astype(bool) & np.isfinite(own).all(axis=1)
                    own[off] = np.nan
                    n_masked += int(off.sum())
        if n_masked:
            self.notes.append(f"Forces on {counted(n_masked, 'atom')} are left out, as a mask in the file says.")

    def _beyond(
        self, batch: Batch, items: list[_Item], forces: FloatArray, most: float | None
    ) -> npt.NDArray[np.bool_]:
        """Return which structures have a force that is too large."""
        sizes = np.nan_to_num(np.linalg.norm(forces, axis=1), nan=0.0, posinf=0.0)
        limit = np.inf if most is None else most
        if not (large := sizes > limit).any():
            return np.zeros(len(batch), dtype=bool)
        atom = int(np.argmax(sizes))
        s, inside = batch.locate(atom)
        found = any_in(batch, large)
        n = counted(int(found.sum()), "structure")
        self.warnings.append(
            f"Labels of {n} with forces above {limit:g} eV/Å are not used (max_force), such as {sizes[atom]:.4g} eV/Å "
            f"on atom {inside} of {items[s].place}. Are the units eV/Å?"
        )
        return found

    def _configurations(self, items: list[_Item], key: str | None) -> tuple[tuple[str, ...], str]:
        names = {name for item in items for name in item.row.fields}
        if key:
            if key not in names:
                raise ValueError(f"config_key: no key {key!r}: there are {_listed(names)}")
        elif key is None:
            key = next((name for name in _CONFIGURATIONS if name in names), "")
        values = [item.row.fields.get(key) if key else None for item in items]
        return tuple("" if value is None else str(value) for value in values), key

    def _stresses(self, batch: Batch, key: str, values: FloatArray, convention: str | None) -> FloatArray:
        """Return stresses in eV/Å^3, positive in tension."""
        volumes = np.abs(np.linalg.det(batch.cells))
        known = np.isfinite(values).all(axis=(1, 2))
        flat = volumes < 1e-6
        if (known & flat).any():
            self.notes.append(
                f"{key!r} is not used for {counted(int((known & flat).sum()), 'structure')} without a cell: "
                "a stress needs a volume."
            )
            values[flat] = np.nan
            known &= ~flat
        with np.errstate(divide="ignore", invalid="ignore"):
            per_volume = values / volumes[:, None, None]
        kinds = {label_kind(name) for name in key.split(" or ")}
        named = {"virial"} if kinds == {"virial"} else {"stress"} if kinds == {"stress"} else set()
        if convention is None and not named:
            raise ValueError(
                f"stress_convention must be given, since the name {key!r} does not tell what its numbers are: 'stress' "
                "(eV/Å^3, positive in tension), '-stress', 'virial' (eV, -V times that), or '-virial'"
            )
        is_virial = convention.endswith("virial") if convention is not None else named == {"virial"}
        raw = per_volume if is_virial else values
        told = _sign_of(batch, raw, volumes)
        usual = -1 if is_virial else 1
        if convention is not None:
            sign = (-1 if convention.startswith("-") else 1) * usual
            if told and told != sign:
                self.warnings.append(
                    f"With stress_convention={convention!r}, compressed cells would be in tension: is the sign of "
                    f"{key!r} the other one?"
                )
        elif told == -usual:
            name = "virial" if is_virial else "stress"
            raise ValueError(
                f"stress_convention must be given for {key!r}: by its name it is "
                + ("-V times the stress" if is_virial else "positive in tension")
                + ", but then compressed cells would be in tension. "
                f"stress_convention='-{name}' turns the sign, stress_convention={name!r} takes it as it is"
            )
        elif is_virial and not told and known.any():
            raise ValueError(
                f"stress_convention must be given for {key!r}: 'virial' where it is -V times the stress (QUIP), "
                "'-virial' where it is +V times the stress; the volumes of these structures do not tell"
            )
        else:
            sign = usual
            if is_virial and known.any():
                self.notes.append(
                    f"{key!r} is -V times the stress (positive in tension), as its changes with the volume tell."
                )
        return sign * raw


def _choose(
    kind: str, asked: tuple[str, ...] | None, items: list[_Item], reader: _Reader
) -> tuple[str, list[Any]] | None:
    """Return the key of a label and its values, in the file's own units; None if there is none, or none is wanted."""
    if asked == ():
        return None
    argument = _ARGUMENTS[kind]
    names: dict[str, None] = {}
    for item in items:
        names.update(dict.fromkeys(item.row.names()))
    if asked is not None:
        missing = [name for name in asked if name not in names]
        if missing:
            raise ValueError(f"{argument}: no key {missing[0]!r}: there are {_listed(names)}")
        meant = {meaning: name for name in asked if (meaning := _meaning(name, kind))}
        if len(meant) > 1:
            one, other = [*meant.values()][:2]
            raise ValueError(
                f"{argument} must name keys of one kind, but {one!r} and {other!r} differ in sign or size by their "
                "names: give one of them, or convert the other"
            )
        columns = {name: _column(name, kind, items) for name in asked}
        values: list[Any] = [None] * len(items)
        for s in range(len(items)):
            for name in asked:
                value, problem = columns[name][s]
                if problem:
                    _refuse(reader, items, s, problem)
                elif value is not None and values[s] is None:
                    values[s] = value
        return " or ".join(asked), values
    wanted = {"energy": ("energy",), "forces": ("forces", "gradient"), "stress": ("stress", "virial")}[kind]
    candidates = {}
    for name in names:
        if label_kind(name) in wanted:
            column = _column(name, label_kind(name), items)
            if any(value is not None for value, _ in column) or (any(problem for _, problem in column)):
                candidates[name] = column
    # Of names that only look like it, such as that of a table, nothing can be read at all.
    readable = {name: column for name, column in candidates.items() if any(value is not None for value, _ in column)}
    candidates = readable or candidates
    if not candidates:
        return None
    best = max(candidates, key=lambda name: sum(value is not None for value, _ in candidates[name]))
    if len(candidates) > 1:
        best = _only(kind, candidates, items, reader)
    for s, (_, problem) in enumerate(candidates[best]):
        if problem:
            _refuse(reader, items, s, problem)
    return best, [value for value, _ in candidates[best]]


def _meaning(name: str, kind: str) -> str:
    """Return what the values of a key are by its name, of what its kind may be; empty where that is not told."""
    if kind == "energy":
        return "per atom" if {"per", "atom"} <= words_of(name) else "in all"
    if kind == "forces":
        return "gradient" if label_kind(name) == "gradient" else "forces"
    return label_kind(name)


def _refuse(reader: _Reader, items: list[_Item], s: int, problem: str) -> None:
    if not reader.skip:
        raise ValueError(f"{items[s].place}: {problem}")
    reader.bad.setdefault(s, problem)


_Column: TypeAlias = list[tuple[Any, str]]


def _column(name: str, kind: str, items: list[_Item]) -> _Column:
    """Return the values of a key for all structures, and what is wrong with each."""
    found: _Column = []
    for item in items:
        try:
            found.append((label_of_row(item.row, name, kind, len(item.atoms)), ""))
        except ValueError as error:
            found.append((None, str(error)))
    return found


def _only(kind: str, candidates: Mapping[str, _Column], items: list[_Item], reader: _Reader) -> str:
    """Return the key that has all that the others have; raise where they differ, or none of them has."""
    argument = _ARGUMENTS[kind]
    has = {name: {s for s, (value, _) in enumerate(column) if value is not None} for name, column in candidates.items()}
    # Of a stress and a virial, the sign of the stress is known.
    best = max(candidates, key=lambda name: (len(has[name]), label_kind(name) in _ARGUMENTS))
    signed = {name: _comparable(kind, name, column, items) for name, column in candidates.items()}
    listed = "; ".join(f"{name!r} in {len(has[name])} of {len(items)} structures" for name in candidates)
    for other in candidates:
        if other == best:
            continue
        for s in sorted(has[best] & has[other]):
            one, two = signed[best][s], signed[other][s]
            # A virial and a stress are the same whatever its sign.
            loose = kind == "stress" and label_kind(best) != label_kind(other)
            gap = min(_gap(one, two), _gap(one, -two) if loose else np.inf)
            size = 0.0 if loose else float(np.nanmax(np.abs(one), initial=0.0))
            if gap > max(_SAME, _PRINTED * size):
                raise ValueError(
                    f"{argument} must be given, since several keys may be meant and they differ: {listed}; "
                    f"of {items[s].place}, {best!r} and {other!r} differ by {gap:.3g} {_UNITS[kind]}"
                    + (
                        ". Forces are mostly the derivative of the free energy"
                        if any("free" in words_of(name) for name in (best, other))
                        else ""
                    )
                )
        if not has[other] <= has[best]:
            both = f"({best!r}, {other!r})"
            raise ValueError(
                f"{argument} must be given, since no key has all {PLURAL[kind]}: {listed}. "
                f"{argument}={both} takes the first that a structure has; one name leaves the other out"
            )
    same = ", ".join(repr(name) for name in candidates if name != best)
    reader.notes.append(f"{PLURAL[kind].capitalize()} are those of {best!r}; {same} says the same.")
    return best


_UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}


def _comparable(kind: str, name: str, column: _Column, items: list[_Item]) -> list[Any]:
    values = [value for value, _ in column]
    if label_kind(name) == "gradient":
        return [None if value is None else -value for value in values]
    if label_kind(name) == "virial":
        return [
            None if value is None else value / max(abs(float(np.linalg.det(_cell(item.atoms)))), 1e-12)
            for value, item in zip(values, items, strict=True)
        ]
    return values


def _cell(atoms: Any) -> Any:
    if isinstance(atoms, Atoms):
        return atoms.cell.array
    lattice = getattr(atoms, "lattice", None)
    return np.zeros((3, 3)) if lattice is None else lattice.matrix


def _gap(one: Any, two: Any) -> float:
    difference = np.abs(np.asarray(one) - np.asarray(two))
    return float(np.nanmax(difference, initial=0.0)) if np.isfinite(difference).any() else 0.0


def _listed(names: Iterable[str], most: int = 30) -> str:
    known = list(names)
    rest = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(map(repr, known[:most])) + rest) or "none"


def _none_found(items: list[_Item], asked: Mapping[str, Key]) -> str:
    names = dict.fromkeys(name for item in items for name in item.row.names())
    there = f"there are the keys {_listed(names)}" if names else "nothing is said of them"
    what = f"structures have no energies, forces or stresses: {there}"
    if any(asked.values()):
        return f"{what}, and none of those that were asked for has a value"
    if any(getattr(item.atoms, "calc", None) is not None for item in items):
        return f"{what}. They have a calculator, which was not asked to compute: call get_forces() of each before"
    return f"{what}; energy_key, forces_key and stress_key say which of them are labels"


def _sign_of(batch: Batch, stresses: FloatArray, volumes: FloatArray) -> int:
    """Return 1 if the trace of the stress grows with the volume, as tension does, -1 if it falls, 0 if nobody can tell.

    Structures of the same composition are compared, by ranks of their volumes per atom.
    """
    trace = np.trace(stresses, axis1=1, axis2=2)
    known = np.isfinite(trace) & (volumes > 1e-6)
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for s in np.flatnonzero(known):
        z, n = np.unique(batch.numbers[batch.offsets[s] : batch.offsets[s + 1]], return_counts=True)
        n = n // np.gcd.reduce(n)
        groups.setdefault(tuple(zip(z.tolist(), n.tolist(), strict=True)), []).append(int(s))
    total = weight = 0.0
    for members in groups.values():
        v = volumes[members] / batch.n_atoms[members]
        if len(members) < 4 or v.max() < 1.01 * v.min():
            continue
        rank_v, rank_t = (np.argsort(np.argsort(x)).astype(np.float64) for x in (v, trace[members]))
        total += len(members) * float(np.corrcoef(rank_v, rank_t)[0, 1])
        weight += len(members)
    mean = total / weight if weight else 0.0
    return int(np.sign(mean)) if abs(mean) > 0.5 else 0

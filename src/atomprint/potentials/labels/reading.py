"""Energies, forces and stresses are found where they are, and never taken from another key in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.formats.labels import is_mask, label_kind, told_unit, words_of
from atomprint.potentials.labels.compositions import by_formula
from atomprint.potentials.labels.items import Collected, Item
from atomprint.potentials.labels.keys import ARGUMENTS, UNITS, Key, as_keys, choose, listed, none_found, tell_unused
from atomprint.potentials.labels.labelled import LabelledStructures, any_in, checked
from atomprint.structures import Batch
from atomprint.util.text import counted
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_real

CONVENTIONS = ("stress", "-stress", "virial", "-virial")
LARGE_FORCE = 200.0
"""Structures with a force beyond this, in eV/Å, are mistakes, or would draw a fit to themselves."""

_CONFIGURATIONS = ("config_type", "configuration_type", "config", "configtype")


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
        :class:`LabelledStructures` are returned as they are, several of them together.
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
    if isinstance(structures, list | tuple) and structures:
        parts = [part for part in structures if isinstance(part, LabelledStructures)]
        if len(parts) == len(structures):
            return LabelledStructures.joined(parts)
    check_choice("on_error", on_error, ("raise", "skip"))
    if max_force is not None:
        check_real("max_force", max_force, above=0)
    if stress_convention is not None:
        check_choice("stress_convention", stress_convention, CONVENTIONS)
    reader = Collected(on_error == "skip")
    items = reader.items(structures)
    batch, items = reader.batch(items)
    asked = {"energy": energy_key, "forces": forces_key, "stress": stress_key}
    found: dict[str, tuple[str, list[Any]]] = {}
    for kind, key in asked.items():
        chosen = choose(kind, as_keys(key, ARGUMENTS[kind]), items, reader)
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
        raise ValueError(none_found(items, asked))
    tell_unused(reader, items, asked, found)
    for kind, (key, _) in found.items():
        if unit := told_unit(key, kind):
            name, ours = ARGUMENTS[kind], UNITS[kind]
            rule = f"{name}: {key!r} is in {unit} by its name, and labels must be in {ours}: convert it"
            if asked[kind] is None:
                raise ValueError(f"{rule}, or name the key if it is in {ours}")
            reader.warnings.append(f"{rule}.")
    return _Assembly(reader).labelled(batch, items, found, stress_convention, config_key, max_force)


class _Assembly:
    """Structures and labels in the units of this package, with what there is to say of them."""

    def __init__(self, told: Collected) -> None:
        self.told = told

    def labelled(
        self,
        batch: Batch,
        items: list[Item],
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
                self.told.notes.append(f"{key!r} is an energy per atom by its name: multiplied by the number of atoms.")
        if "forces" in found:
            key, values = found["forces"]
            for s, value in enumerate(values):
                if value is not None:
                    forces[batch.offsets[s] : batch.offsets[s + 1]] = value
            if label_kind(key.split(" or ")[0]) == "gradient":
                forces *= -1
                self.told.notes.append(f"{key!r} is the derivative of the energy by its name: forces are its negative.")
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
        if self.told.stale:
            which = self.told.stale[0] + (f" and {len(self.told.stale) - 1} more" if len(self.told.stale) > 1 else "")
            self.told.warnings.append(
                f"{which}: the results of the calculator belong to other positions (the atoms moved since, "
                "or several structures share one calculator), and are not used."
            )
        if self.told.left:
            more = f"; and {len(self.told.left) - 3} more" if len(self.told.left) > 3 else ""
            self.told.warnings.append(
                f"Left out, {counted(len(self.told.left), 'structure')}: {'; '.join(self.told.left[:3])}{more}."
            )
        return checked(
            LabelledStructures(
                batch,
                energies,
                forces,
                stresses,
                config_types,
                keys,
                tuple(item.place for item in items),
                tuple(self.told.notes),
                tuple(self.told.warnings),
            )
        )

    def _mask(self, batch: Batch, items: list[Item], forces: FloatArray) -> None:
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
            self.told.notes.append(f"Forces on {counted(n_masked, 'atom')} are left out, as a mask in the file says.")

    def _beyond(self, batch: Batch, items: list[Item], forces: FloatArray, most: float | None) -> npt.NDArray[np.bool_]:
        """Return which structures have a force that is too large."""
        sizes = np.nan_to_num(np.linalg.norm(forces, axis=1), nan=0.0, posinf=0.0)
        limit = np.inf if most is None else most
        if not (large := sizes > limit).any():
            return np.zeros(len(batch), dtype=bool)
        atom = int(np.argmax(sizes))
        s, inside = batch.locate(atom)
        found = any_in(batch, large)
        n = counted(int(found.sum()), "structure")
        self.told.warnings.append(
            f"Labels of {n} with forces above {limit:g} eV/Å are not used (max_force), such as {sizes[atom]:.4g} eV/Å "
            f"on atom {inside} of {items[s].place}. Are the units eV/Å?"
        )
        return found

    def _configurations(self, items: list[Item], key: str | None) -> tuple[tuple[str, ...], str]:
        names = {name for item in items for name in item.row.fields}
        if key:
            if key not in names:
                raise ValueError(f"config_key: no key {key!r}: there are {listed(names)}")
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
            self.told.notes.append(
                f"{key!r} is not used for {counted(int((known & flat).sum()), 'structure')} without a cell: "
                "a stress needs a volume."
            )
            values[flat] = np.nan
            known &= ~flat
        with np.errstate(divide="ignore", invalid="ignore"):
            per_volume = values / volumes[:, None, None]
        # A virial stress is one or the other.
        kinds = {"" if {"virial", "stress"} <= words_of(name) else label_kind(name) for name in key.split(" or ")}
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
                self.told.warnings.append(
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
                self.told.notes.append(
                    f"{key!r} is -V times the stress (positive in tension), as its changes with the volume tell."
                )
        return sign * raw


def _sign_of(batch: Batch, stresses: FloatArray, volumes: FloatArray) -> int:
    """Return 1 if the trace of the stress grows with the volume, as tension does, -1 if it falls, 0 if nobody can tell.

    Structures of the same composition are compared, by ranks of their volumes per atom.
    """
    trace = np.trace(stresses, axis1=1, axis2=2)
    known = np.isfinite(trace) & (volumes > 1e-6)
    total = weight = 0.0
    for members in by_formula(batch, np.flatnonzero(known)).values():
        v = volumes[members] / batch.n_atoms[members]
        if len(members) < 4 or v.max() < 1.01 * v.min():
            continue
        rank_v, rank_t = (np.argsort(np.argsort(x)).astype(np.float64) for x in (v, trace[members]))
        total += len(members) * float(np.corrcoef(rank_v, rank_t)[0, 1])
        weight += len(members)
    mean = total / weight if weight else 0.0
    return int(np.sign(mean)) if abs(mean) > 0.5 else 0

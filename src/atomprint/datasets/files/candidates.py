"""Which columns or keys of a file may be properties to predict, the likeliest first, and in which unit they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.formats.components import vector_in_name
from atomprint.formats.source import Row
from atomprint.formats.values import column_kind, kind_of, label_of, number_of, with_points
from atomprint.util.types import FloatArray

_MAX_CLASSES = 10
_ROW_NUMBER = re.compile(r"|#|no|nr|index|idx|row|row_number|number|level_0|unnamed(:_?\d+)?(_level_\d+)?")
_ID = re.compile(r"(.*_)?(id|ids|uid|uuid|doi|url|hash|file|filename|path|name)|mbid|jid|icsd\w*|pubchem\w*")
# What says where atoms are or which there are, rather than what a material does.
_INPUT = re.compile(
    r"(.*_)?(space_?group|sg|spg|point_group|crystal_system|crys_sys|prototype|lattice)(_.*)?"
    r"|(n|num|number_of)_?(atoms|sites|elements|elems|species)|n_?sites|nelements|multiplicity|natoms"
    r"|(lattice_|cell_)?(a|b|c|alpha|beta|gamma)|[xyz]|volume(_per_\w+)?|(cell|unit_cell)_volume|vpa|density|mass"
    r"|molar_mass|molecular_weight|weight|year|date|time|split|fold|config_type|group|period"
)
_OF_ATOMS_INPUT = frozenset({"tags", "masses", "momenta", "initial_charges", "initial_magmoms", "move_mask", "fixed"})

# Properties by the words of their names, the most asked for first, and their usual units.
_KNOWN: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), unit)
    for pattern, unit in (
        (r"(e_?form|formation_energy|enthalpy_of_formation|formation_enthalpy)_(per_)?(unit_)?cell", "eV"),
        (r"e_?form|form\w*_(energy|enthalpy)(_per_atom)?|enthalpy_of_formation|delta_[eh]", "eV/atom"),
        (r"cohesive_energy|energy_per_atom|e_per_atom", "eV/atom"),
        (r"homo|lumo|fermi_?energy|e_?fermi|work_function|ionization_(energy|potential)|electron_affinity", "eV"),
        (r"band_?gap|e_?gap|e_?g|gap", "eV"),
        (r"(bulk|shear|young\w*|elastic)_?modul\w*|[kg]_vrh|hardness|vickers\w*|yield_strength", "GPa"),
        (r"(critical|melting|curie|neel|debye|boiling|transition)_(temperature|point)|t_?[cm]|t_melt", "K"),
        (r"dielectric\w*|refractive_index|n_refractive|poisson\w*|zt|log10_\w+|log_\w+", ""),
        (r"exfoliation_en\w*", "meV/atom"),
        (r"(lattice_)?thermal_conductivity|kappa", "W/(m K)"),
        (r"seebeck\w*", "µV/K"),
        (r"magneti[sz]ation|(total_)?magnetic_moment|magmoms?", "µB"),
        (r"polari[sz]ability", "bohr³"),
        (r"dipole(_moment)?", "D"),
        (r"(total_|potential_|atomi[sz]ation_|free_|internal_)?energy|enthalpy|u0|e_?tot", "eV"),
        (r"phonon\w*|phdos\w*", "1/cm"),
        (r"(e|energy)_?above_?(the_)?(convex_)?hull|e_?hull|hull_distance", "eV/atom"),
        (r"charges?", "e"),
        (r"is_\w+|stable|metal|glass|gfa|superconductor|magnetic|toxic", ""),
    )
)
_LAST_WORDS = {
    "ev": "eV",
    "mev": "meV",
    "gpa": "GPa",
    "mpa": "MPa",
    "k": "K",
    "kelvin": "K",
    "ha": "Ha",
    "hartree": "Ha",
    "kcal_mol": "kcal/mol",
    "kj_mol": "kJ/mol",
    "ev_atom": "eV/atom",
    "ev_per_atom": "eV/atom",
    "mev_atom": "meV/atom",
    "nm": "nm",
    "ppm": "ppm",
}
_UNIT = re.compile(
    r"[cfGkMmnpTuµ]?(B|cal|eV|g|Ha|Hz|J|K|m|mol|Pa|S|s|T|V|W)|[AÅDe%]|°C?|Ang|a\.u\.|atom|[Bb]ohr|cell|f\.?u\.?|ppm|Ry|unit"
)
_METHODS = frozenset(
    ("exp", "expt", "experimental", "measured", "calc", "calculated", "dft", "pbe", "pbesol", "gga", "hse", "scan")
)
_IN_BRACKETS = re.compile(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$")


def rank_targets(rows: Sequence[Row], names: Iterable[str], passed: Iterable[str | None]) -> tuple[str, ...]:
    """Return the columns or keys that may be properties, the likeliest first.

    Numbers come before classes and these before values of atoms; within each, properties with a known name come first,
    then the others from last to first, then what rather describes the structure: its volume, space group or lattice.
    Ids, file names and columns that count the rows are no properties.

    Parameters
    ----------
    rows : sequence of Row
        The first rows.
    names : iterable of str
        All names.
    passed : iterable of (str or None)
        Names that mean something else: the structures, formulas and ids.
    """
    taken = set(passed)
    found = []
    for place, name in enumerate(names):
        if name in taken or is_label(name):
            continue
        raws = [row.get(name) for row in rows]
        kind = _kind(name, raws, rows)
        if kind is not None:
            key = _core(_key(name))
            known = next((number for number, (pattern, _) in enumerate(_KNOWN) if pattern.fullmatch(key)), len(_KNOWN))
            described = (known == len(_KNOWN) and _INPUT.fullmatch(key) is not None) or bool(vector_in_name(name))
            found.append((described, kind, known, -place, name))
    return tuple(name for *_, name in sorted(found))


def is_label(name: str) -> bool:
    """Return whether a name is that of row numbers, ids or files."""
    key = _key(name)
    return bool(_ROW_NUMBER.fullmatch(key) or _ID.fullmatch(key))


def guess_unit(name: str) -> str:
    """Return the unit that a name tells or suggests, empty if it suggests none.

    ``"gap (eV)"`` and ``"energy_kcal_mol"`` tell, ``"band_gap"`` suggests.
    """
    if bracketed := _IN_BRACKETS.search(name):
        parts = re.split(r"[\s/*·^()\d−-]+", bracketed[1])
        return bracketed[1] if all(_UNIT.fullmatch(part) for part in parts if part) else ""
    key = _key(name)
    if re.match(r"log|ln_", key):  # of a number without a unit
        return ""
    if (told := _told_unit(key)) is not None:
        return _LAST_WORDS[told]
    return next((unit for pattern, unit in _KNOWN if pattern.fullmatch(_core(key))), "")


def without_unit(name: str) -> str:
    """Return a name without the unit that it tells: ``"gap (eV)"`` and ``"gap_ev"`` as ``"gap"``."""
    bare = _IN_BRACKETS.sub("", name)
    if (told := _told_unit(_key(name))) is not None:
        between = r"[\s\-_./]+"
        bare = re.sub(f"{between}{between.join(told.split('_'))}\\s*$", "", bare, flags=re.IGNORECASE)
    return bare.strip() or name


def _key(name: str) -> str:
    """Return a name in lower case with its words joined by underscores, and without a unit in brackets."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", _IN_BRACKETS.sub("", name).strip())
    return re.sub(r"[\s\-_./]+", "_", words).strip("_").lower()


def _told_unit(key: str) -> str | None:
    """Return the unit in which a name ends, as it is written there."""
    return max((words for words in _LAST_WORDS if key.endswith(f"_{words}")), key=len, default=None)


def _core(key: str) -> str:
    """Return a name without its unit and without how the property was found."""
    told = _told_unit(key)
    words = (key if told is None else key.removesuffix(f"_{told}")).split("_")
    return "_".join([word for word in words if word not in _METHODS] or words)


def _kind(name: str, raws: Sequence[Any], rows: Sequence[Row]) -> int | None:
    """Return 0 for numbers, 1 for classes and 2 for values of atoms; None for what is no property."""
    raws = with_points(raws)
    kinds = {kind_of(raw) for raw in raws} - {"missing"}
    known = [raw for raw in raws if kind_of(raw) != "missing"]
    if column_kind(raws) == "number":
        values = np.array([number_of(raw) for raw in known if kind_of(raw) == "number"])
        return None if len(values) > 1 and (np.ptp(values) == 0 or _counts_rows(values)) else 0
    if column_kind(raws) == "boolean" or (kinds and kinds <= {"boolean", "word"}):
        labels = {label_of(raw) for raw in known}
        few = len(labels) <= _MAX_CLASSES and 2 * len(labels) <= len(known)
        return 1 if few and len(labels) > 1 else None
    if kinds == {"array"} and name not in _OF_ATOMS_INPUT and _one_for_each_atom(name, rows):
        return 2
    return None


def _counts_rows(values: FloatArray) -> bool:
    """Return whether values are 0, 1, 2, and so on, or 1, 2, 3, and so on."""
    return len(values) > 2 and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def _one_for_each_atom(name: str, rows: Sequence[Row]) -> bool:
    for row in rows:
        values = row.get(name)
        if kind_of(values) == "missing":
            continue
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind != "f":
            return False
        if isinstance(row.structure, Atoms) and name not in row.arrays:  # a vector of the whole structure
            return False
    return True

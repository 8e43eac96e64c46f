"""Which column or key is what: as the caller says, or guessed where only one will do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atomprint.chemistry.formula import parse_formula
from atomprint.formats.source import Source
from atomprint.formats.values import column_kind, is_missing, kind_of
from atomprint.util.extras import installed

Names = str | Sequence[str] | Mapping[str, str]
"""Names of columns or keys; a mapping gives them new names: ``{"gap": "Band gap (eV)"}``."""

_STRUCTURES = ("structure", "cif", "poscar", "atoms")
_FORMULAS = ("formula", "composition", "pretty_formula", "formula_pretty", "reduced_formula", "chemical_formula")
_IDS = ("id", "material_id", "mbid", "mp_id", "jid", "task_id", "entry_id", "unique_id")
_ROW_NUMBERS = ("", "index", "unnamed: 0")


@dataclass(frozen=True)
class Roles:
    """What is read from where.

    Parameters
    ----------
    structure : str or None
        Name of the structures; None if rows have them anyway, or have none.
    formula : str or None
        Name of the formulas, to take or to check.
    smiles : str or None
        Name of the SMILES: molecules where there are no structures, what is known of their bonds where there are.
    id : str or None
        Name of the ids; None for the rows' own, or numbers.
    targets, groups : mapping of str to str
        Names in the data set, and in the file.
    has_structures : bool
        Whether there are structures.
    """

    structure: str | None
    formula: str | None
    smiles: str | None
    id: str | None
    targets: Mapping[str, str]
    groups: Mapping[str, str]
    has_structures: bool


def named(argument: str, names: Names) -> dict[str, str]:
    """Return names as a mapping of new names to those in the file.

    Raises
    ------
    TypeError, ValueError
        If something is not a name, or a name occurs twice.
    """
    if isinstance(names, str):
        names = [names]
    pairs = list(names.items()) if isinstance(names, Mapping) else [(name, name) for name in names]
    for pair in pairs:
        if not all(isinstance(name, str) for name in pair):
            raise TypeError(f"{argument} must be names of columns or keys, got {pair[1]!r}")
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"{argument} must be different names, got {[name for name, _ in pairs]}")
    return dict(pairs)


def choose_roles(
    source: Source,
    *,
    targets: Mapping[str, str] | None,
    structure: str | None,
    formula: str | None,
    id_: str | None,
    groups: Mapping[str, str],
    smiles: str | None = None,
) -> Roles:
    """Return what to read from where, after a look at the first rows; see :func:`~atomprint.datasets.read_dataset`.

    Raises
    ------
    ValueError
        If a column does not exist, or one that is needed is not given and cannot be guessed.
    """
    own_structures = structure != "" and any(
        row.structure is not None or (row.problem is not None and row.problem[0] == "structure") for row in source.first
    )
    if structure is None and not own_structures:
        structure = source.paths or _guess(source, "structure", _STRUCTURES)
    has_structures = own_structures or bool(structure)
    if smiles is None and (formula is None or has_structures):
        smiles = _guess_smiles(source, sure=has_structures)
    if formula is None and not has_structures and not smiles:
        formula = _guess(source, "formula", _FORMULAS) or _formulas_by_content(source)
        if formula is None:
            raise ValueError(
                "there are neither structures nor formulas nor SMILES: give structure=, formula= or smiles=, one of "
                f"{source.listed()}"
            )
    if id_ is None and not any(row.id for row in source.first):
        usual = _present(source, _IDS)
        id_ = usual[0] if len(usual) == 1 else None if usual else source.paths
    roles = Roles(
        structure or None, formula or None, smiles or None, id_ or None, targets or {}, groups, has_structures
    )
    if targets is None:
        key = _guess_target(source, roles)
        roles = replace(roles, targets={} if key is None else {key: key})
    # A key for a target or a group may be missing in the first rows and come later.
    check_roles(source, roles if source.noun == "column" else replace(roles, targets={}, groups={}))
    return roles


def check_roles(source: Source, roles: Roles) -> None:
    """Raise if a name is in no row that was met."""
    for argument, names in (
        ("structure", [roles.structure]),
        ("formula", [roles.formula]),
        ("smiles", [roles.smiles]),
        ("id", [roles.id]),
        ("targets", roles.targets.values()),
        ("groups", roles.groups.values()),
    ):
        _check(source, argument, [name for name in names if name is not None])


def _check(source: Source, argument: str, names: Sequence[str]) -> None:
    for name in names:
        if not source.has(name):
            raise source.missing(argument, name)


def is_usual(name: str, what: str | None = None) -> bool:
    """Return whether structures, formulas, SMILES or ids, or one of these alone, are usually called so."""
    usual = {"structure": _STRUCTURES, "formula": _FORMULAS, "id": _IDS}
    if what in (None, "smiles") and _is_smiles(name):
        return True
    return any(_plain(name) in names for kind, names in usual.items() if what in (None, kind))


def _is_smiles(name: str) -> bool:
    """Return whether SMILES are usually called so, such as ``"Canonical SMILES"``."""
    return "smiles" in _plain(name) or _plain(name) == "smi"


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _present(source: Source, usual: Sequence[str]) -> list[str]:
    return [name for name in source.names if _plain(name) in usual]


def _guess(source: Source, argument: str, usual: Sequence[str]) -> str | None:
    present = _present(source, usual)
    if len(present) > 1:
        raise ValueError(
            f"{argument}: give one, since several {source.noun}s may be meant: {', '.join(map(repr, present))}"
        )
    return present[0] if present else None


def _guess_smiles(source: Source, sure: bool) -> str | None:
    """Return the column or key of SMILES; of several the one that is just called so.

    Where it is not ``sure`` that there are structures, too, it is not read without RDKit if there are formulas.
    """
    present = [name for name in source.names if _is_smiles(name) and not _has_numbers(source, name)]
    exact = [name for name in present if _plain(name) == "smiles"]
    if not present or (not installed("rdkit") and (sure or _present(source, _FORMULAS))):
        return None
    if len(present) > 1 and len(exact) != 1:
        if sure:
            return None
        raise ValueError(
            f"smiles: give one, since several {source.noun}s may be meant: {', '.join(map(repr, present))}"
        )
    return (exact or present)[0]


def _has_numbers(source: Source, name: str) -> bool:
    """Return whether a column or key has numbers, such as that of the lengths of SMILES."""
    return column_kind([row.fields[name] for row in source.first if name in row.fields]) == "number"


def _formulas_by_content(source: Source) -> str | None:
    """Return the only column or key with formulas, some of them of compounds, under whatever name.

    It has nothing but these; or, if there is no such column, few others.
    """
    shares: dict[str, float] = {}
    for name in source.names:
        values = [row.fields[name] for row in source.first if kind_of(row.fields.get(name)) != "missing"]
        sizes = [_n_elements(value) for value in values]
        if sizes and max(sizes) > 1:
            shares[name] = sum(size > 0 for size in sizes) / len(sizes)
    for least in (1.0, 0.7):
        found = [name for name, share in shares.items() if share >= least]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _n_elements(value: Any) -> int:
    """Return how many elements a formula has; 0 if this is none."""
    try:
        return len(parse_formula(value)) if isinstance(value, str) else 0
    except ValueError:
        return 0


def _seen(values: Mapping[str, Sequence[Any]]) -> str:
    """Return what stands in columns where one would look for numbers."""
    first = {name: next((raw for raw in raws if not is_missing(raw)), None) for name, raws in values.items()}
    return "".join(f", {name!r} has {repr(raw)[:30]}" for name, raw in list(first.items())[:5] if raw is not None)


def _guess_target(source: Source, roles: Roles) -> str | None:
    taken = {roles.structure, roles.formula, roles.smiles, roles.id, *roles.groups.values()}
    passed = {*_STRUCTURES, *_FORMULAS, *_IDS, *_ROW_NUMBERS}
    values: dict[str, list[Any]] = {}
    for row in source.first:
        for name, value in row.fields.items():
            # A column that repeats the rows' own names, such as that of files called 0.cif, 1.cif ..., is no property.
            repeated = bool(row.id) and str(value).strip() == row.id
            if name not in taken and name.lower() not in passed and not repeated:
                values.setdefault(name, []).append(value)
    numbers = [name for name, raws in values.items() if column_kind(raws) in ("number", "boolean")]
    if len(numbers) == 1:
        return numbers[0]
    if not values:
        return None  # nothing but structures or formulas
    what = f"several {source.noun}s have numbers" if numbers else f"no {source.noun} has numbers{_seen(values)}"
    raise ValueError(f"targets: give names, or () for none, since {what}: there are {source.listed()}")

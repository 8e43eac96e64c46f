"""Rows of files as structures, molecules or formulas, checked, with values that are not looked at yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from ase import Atoms
from ase.formula import Formula
from joblib import Parallel, delayed

from atomprint.chemistry.formula import parse_formula, reduced_formula
from atomprint.chemistry.smiles import Smiles, molecule_of
from atomprint.datasets.failures import Failures
from atomprint.datasets.files.structures import to_atoms
from atomprint.formats.roles import Roles
from atomprint.formats.source import Row, Source
from atomprint.formats.values import BadValueError, label_of


@dataclass(frozen=True, slots=True)
class Entry:
    """One row that is a structure, a molecule or a formula, with values that are not looked at yet."""

    number: int
    id: str
    atoms: Atoms | None
    content: str
    raws: Mapping[str, Any]
    labels: Mapping[str, str]
    line: int | None


class _RowError(Exception):
    """What is wrong with a row: step and reason."""


def read_entries(
    source: Source, roles: Roles, folder: Path, failed: Failures, allow_close: bool, n_jobs: int
) -> list[Entry]:
    """Return the rows of a source that can be read; those that cannot are added to the failures.

    Parameters
    ----------
    source, roles : Source, Roles
        The rows, and what is read from where.
    folder : Path
        Where files that rows name are.
    failed : Failures
        What is told of rows that cannot be read.
    allow_close : bool
        Whether atoms may be nearer than any in matter.
    n_jobs : int
        Processes that parse structures.
    """
    entries: list[Entry] = []
    rows_of: dict[str, int] = {}  # by id
    for number, (row, atoms) in enumerate(_parse(source, roles, folder, allow_close, n_jobs)):
        source.meet(row)
        name = row.id or str(number)
        try:
            if roles.id is not None:
                name = _id(row, roles.id)
            entry = _entry(number, name, row, atoms, roles)
            if name in rows_of:
                _fail("id", f"{name!r} is the id of row {rows_of[name]} already")
        except _RowError as error:
            problem = error.args
        else:
            rows_of[name] = number
            entries.append(entry)
            continue
        step, reason = problem
        failed.add(number, name, step, reason, row.line)
    return entries


def _parse(
    source: Source, roles: Roles, folder: Path, allow_close: bool, n_jobs: int
) -> Iterator[tuple[Row, Atoms | ValueError | None]]:
    """Yield rows with their structures, or what is wrong with these."""
    rows: Iterator[Row] = source.rows
    if roles.structure is not None:
        rows = (replace(row, structure=row.get(roles.structure)) for row in rows)
    if not roles.has_structures:
        return ((row, None) for row in rows)
    if n_jobs == 1:
        return (_parse_row(row, folder, allow_close) for row in rows)
    parsed: Iterator[tuple[Row, Atoms | ValueError | None]] = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_parse_row)(row, folder, allow_close) for row in rows
    )
    return parsed


def _parse_row(row: Row, folder: Path, allow_close: bool) -> tuple[Row, Atoms | ValueError | None]:
    if row.problem is not None:
        return row, None
    try:
        return row, to_atoms(row.structure, folder, allow_close=allow_close)
    except ValueError as error:
        return row, error


def _entry(number: int, name: str, row: Row, atoms: Atoms | ValueError | None, roles: Roles) -> Entry:
    if row.problem is not None:
        _fail(*row.problem)
    if isinstance(atoms, ValueError):
        _fail("structure", str(atoms))
    formula = "" if roles.formula is None else _formula(row.get(roles.formula))
    if formula and atoms is not None:
        found, stated = reduced_formula(atoms.symbols.formula.count()), reduced_formula(formula)
        if found != stated:
            _fail("formula", f"the structure is {found}, but {roles.formula!r} says {stated}")
    if roles.smiles is not None:
        told, formula = formula, _smiles(row.get(roles.smiles), atoms, roles.smiles)
        if told and atoms is None and reduced_formula(formula) != reduced_formula(told):
            _fail("formula", f"the molecule is {reduced_formula(formula)}, but {roles.formula!r} says {told}")
    try:
        raws = {target: _raw(row, key) for target, key in roles.targets.items()}
    except ValueError as error:
        _fail("target", str(error))
    try:
        labels = {group: label_of(row.get(key)) for group, key in roles.groups.items()}
    except BadValueError as error:
        _fail("group", str(error))
    return Entry(number, name, atoms, formula, raws, labels, row.line)


def _raw(row: Row, key: str) -> Any:
    value = row.get(key)
    # Where a file tells properties of atoms apart, an array of the structure is none, though its length may fit.
    if isinstance(row.structure, Atoms) and key in row.fields and key not in row.arrays and np.ndim(value) > 0:
        way = f"{key + '.norm'!r}" if np.shape(value)[-1] == 3 else f"{key + '[0]'!r}"
        raise ValueError(f"{key!r} has shape {np.shape(value)}, and a target is one number: ask for {way}")
    return value


def _id(row: Row, key: str) -> str:
    try:
        name = label_of(row.get(key))
    except BadValueError as error:
        _fail("id", str(error))
    return name or _fail("id", f"there is none in {key!r}")


def _formula(raw: Any) -> str:
    try:
        if isinstance(raw, Mapping):  # of pymatgen
            return reduced_formula(raw)
        if not isinstance(raw, str) or not raw.strip():
            _fail("formula", f"there is none, got {raw!r}")
        parse_formula(raw)
    except ValueError as error:
        _fail("formula", str(error))
    return raw.strip()


def _smiles(raw: Any, atoms: Atoms | None, column: str) -> str:
    """Return the SMILES of a row, checked; where there is a structure it is told the SMILES, or there may be none.

    A crystal may have those of a part of it. Hydrogens may be nowhere in a structure.
    """
    if isinstance(raw, str) and raw.strip():
        try:
            molecule_of(raw)
        except ValueError as error:
            _fail("smiles", str(error))
        text = Smiles(raw.strip())
        if atoms is not None:
            here, told = dict(atoms.symbols.formula.count()), text.composition
            if not atoms.pbc.any() and here | {"H": 0} != told | {"H": 0}:
                found, stated = (Formula.from_dict(amounts).format("hill") for amounts in (here, told))
                _fail("smiles", f"the structure is {found}, but {column!r} says {stated}; smiles='' reads none")
            atoms.info["smiles"] = str(text)
        return text
    return "" if atoms is not None else _fail("smiles", f"there is none, got {raw!r}")


def _fail(step: str, reason: str) -> NoReturn:
    raise _RowError(step, reason)

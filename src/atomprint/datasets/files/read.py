"""Data sets from files of one's own, with names of columns and keys given, or guessed where only one will do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.failures import Failure, Failures
from atomprint.datasets.files.candidates import guess_unit, without_unit
from atomprint.datasets.files.entries import Entry, read_entries
from atomprint.datasets.target import Target
from atomprint.formats.components import vector_of
from atomprint.formats.labels import find_labels
from atomprint.formats.opening import plain_name
from atomprint.formats.reading import open_source
from atomprint.formats.roles import Names, Roles, check_roles, choose_roles, named
from atomprint.formats.values import Classes, Column, read_column
from atomprint.util.types import Indices, PathOrStr
from atomprint.util.validation import check_choice, check_n_jobs


def read_dataset(
    path: PathOrStr,
    *,
    targets: Names | None = None,
    structure: str | None = None,
    formula: str | None = None,
    smiles: str | None = None,
    id: str | None = None,
    groups: Names = (),
    units: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    definitions: Mapping[str, str] | None = None,
    classes: Mapping[str, Classes] | None = None,
    table: PathOrStr | None = None,
    folder: PathOrStr | None = None,
    on_error: str = "raise",
    format: str | None = None,
    limit: int | None = None,
    allow_close: bool = False,
    name: str | None = None,
    title: str | None = None,
    source: str | None = None,
    n_jobs: int = 1,
) -> Dataset:
    """Read structures, molecules or compositions, and what is known about them, from a file, a folder or an archive.

    Parameters
    ----------
    path : path
        One of these, compressed (.gz, .bz2, .xz) or not; tables and records are read row by row.

        - A table: CSV (with commas, semicolons or tabs), TSV, text with blanks, Parquet (needs pyarrow). Columns have
          names, or are called ``"0"``, ``"1"`` ... if the first line has a number in it.
        - A folder, or a tar or zip archive (read in memory, never unpacked), of CIF, POSCAR and xyz files, alone or
          with a table that has a row for each, such as ``id_prop.csv`` or QM7's text file.
        - A file of one or more structures that ASE reads: extended xyz, trajectories, VASP output, a CIF. Keys are
          those of ``info``, results of calculators (``"energy"``) and arrays of atoms (``"charges"``).
        - An ASE database (.db, or .json): key-value pairs, results, ``data``.
        - JSON: a list of records, or a mapping of ids to records, with a pymatgen or JARVIS structure in each; a list
          of structures themselves, or of ComputedStructureEntry; pandas' ``split`` form (Matbench) and its ``columns``
          form.
        - OPTIMADE: JSON lines, or the answer of a server.
        - Molecules by their bonds (needs RDKit): a column of SMILES in any of these; lines of SMILES with names (.smi);
          SD and mol files, whose keys are their data items, ``"title"`` and ``"smiles"``. If these have places of all
          atoms, hydrogens too, they are structures with ``"smiles"`` in their ``info``.
    targets : str, sequence, mapping or None
        Properties to read: columns or keys, or a mapping of target names to these. Also ``"outer.inner"`` for nested
        keys, ``"force.norm"`` for the length of a vector, and ``"levels[0]"`` for one of several numbers. None is the
        only column of numbers or truth values that has no other role; if there are several, it is an error. ``()`` is
        none.
    structure : str or None
        Column with structures: the text of a CIF, a POSCAR or pymatgen JSON, a dictionary, or the path of a file; for a
        folder with a table, the column that names the files. None is the only column with a usual name; ``""`` is no
        column, to read formulas although there are structures.
    formula : str or None
        Column with formulas, for data without structures; beside structures it is checked against them. None is
        the only column with a usual name, if there are no structures.
    smiles : str or None
        Column with SMILES, for molecules without structures; structures are told them (``info["smiles"]``). None is the
        only column whose name says so, unless there is a ``formula``.
    id : str or None
        Column of names, which must differ. None is the name that a row has by itself (its file, its index), else the
        only column with a usual name, else the number of the row, which ``""`` asks for.
    groups : str, sequence or mapping
        Columns of labels, such as ``"space group"``, see :class:`~atomprint.datasets.Dataset`.
    units, titles, definitions : mapping of str to str, optional
        Of targets, by their names. A target with a unit must be a number. Titles are made from names by default.
    classes : mapping of str to (sequence or mapping), optional
        For targets that are classes: all their values in the wanted order, or a name for each value, as in
        ``{"is_metal": {0: "no metal", 1: "metal"}}``. Without it, truth values become ``"False"`` and ``"True"``, and
        words become classes in the order of the alphabet. Numbers become classes only if they are given here.
    table : path or None
        For a folder or an archive: its table, in it or elsewhere. None is the only .csv or .tsv file in it, if any.
    folder : path or None
        For a table whose column ``structure`` names structure files: the folder they are in. None is the folder of the
        table or one in it, if files of these names are there.
    on_error : {"raise", "skip"}
        What to do with a row that cannot be read: raise, or leave it out and note in ``failures`` which, and why.
    format : str or None
        One of ``"table"``, ``"frames"``, ``"files"``, ``"json"``, ``"json lines"``, ``"ase db"``, ``"deepmd"``,
        ``"smiles"``, ``"sdf"``; None: by the name.
    limit : int or None
        Read only so many rows.
    allow_close : bool
        Whether atoms may be nearer than any in matter (0.5 Å, or 0.3 of the sum of their covalent radii), as in data
        for potentials; such structures are mostly mistakes, and cannot be read otherwise.
    name, title, source : str or None
        Of the data set; by default from the name of the file.
    n_jobs : int
        Processes that parse structures; -1 for all cores. It pays for thousands of CIFs with symmetry.

    Returns
    -------
    Dataset
        Structures are ASE Atoms with nothing but elements, positions, cell and periodicity, and SMILES where there are
        any; molecules are :class:`~atomprint.chemistry.smiles.Smiles` in ``compositions``. Missing values (empty,
        nan, ``NA``, ``null`` and the like) are nan; ``summary()`` counts them. Energies, forces and stresses that the
        file has are told in ``labels`` and not kept: potentials read them. If a property is an array with a number for
        each atom, its target has the level ``"atom"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If a format needs a package that is missing.
    ValueError
        If a column does not exist or cannot be guessed; the message lists those that there are. If the file is broken.
        If a row cannot be read; the message names file, row (counted from 0) and reason. If no row can be read.

    Examples
    --------
    >>> dataset = read_dataset("mine.csv", structure="cif", targets={"gap": "band_gap"}, units={"gap": "eV"})
    >>> dataset.structures[0], dataset.targets["gap"].values
    (Atoms(symbols='NaCl', pbc=True, cell=...), array([5. , 5.1, 4.5, 8.7]))
    """
    place = Path(path)
    told = _Told(units or {}, titles or {}, definitions or {}, classes or {})
    failed = Failures(place.name, on_error)
    form, found = open_source(
        place, format=format, table=table, folder=folder, structure=structure, formula=formula, limit=limit
    )
    with _naming(place):
        roles = choose_roles(
            found,
            targets=None if targets is None else named("targets", targets),
            structure=structure if form != "files" else None,
            formula=formula,
            id_=id,
            groups=named("groups", groups),
            smiles=smiles,
        )
    told.check(roles)
    entries = read_entries(found, roles, place.parent, failed, allow_close, check_n_jobs(n_jobs))
    with _naming(place):
        check_roles(found, roles)
        labels = find_labels(found.first, found.names) if roles.has_structures else ()
        columns = _read_columns(entries, roles, told)
    kept = _kept(entries, columns, roles, failed)
    if len(kept) == 0:
        first = min(failed)
        raise ValueError(f"{place.name}: no row can be read; row {first.row}: {first.step}: {first.reason}")
    entries = [entries[index] for index in kept]
    lines = tuple(entry.line for entry in entries)
    label = plain_name(place.name).split(".")[0] if name is None else name
    return Dataset(
        name=label,
        title=_words(label) if title is None else title,
        structures=[entry.atoms for entry in entries] if roles.has_structures else None,
        compositions=None if roles.has_structures else [entry.content for entry in entries],
        ids=tuple(entry.id for entry in entries),
        targets={
            target: told.target(
                target,
                columns[target],
                kept,
                f"{found.noun.capitalize()} {key!r} of {place.name}.",
                vector_of(key, found.first),
            )
            for target, key in roles.targets.items()
        },
        groups={group: np.array([entry.labels[group] for entry in entries], dtype=str) for group in roles.groups},
        description=" ".join([f"Read from {place.name}.", *found.notes]),
        source=f"Own data, {place.name}" if source is None else source,
        failures=tuple(sorted(failed)),
        notes=tuple(found.notes),
        lines=None if set(lines) == {None} else lines,
        labels=labels,
    )


def read_items(
    path: PathOrStr,
    *,
    structure: str | None = None,
    formula: str | None = None,
    smiles: str | None = None,
    folder: PathOrStr | None = None,
) -> list[tuple[str, Atoms | str | Failure]]:
    """Return names and structures, or else molecules or formulas, of what :func:`read_dataset` reads from a path.

    Parameters
    ----------
    path, structure, formula, smiles, folder
        See :func:`read_dataset`.

    Returns
    -------
    list of (str, (Atoms, str or Failure))
        A row that cannot be read is in its place. Without a name of its own a row has its number.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        If there is no such file, or no row of it can be found.
    """
    place = Path(path)
    form, found = open_source(place, folder=folder, structure=structure, formula=formula)
    with _naming(place):
        column = structure if form != "files" else None
        roles = choose_roles(found, targets={}, structure=column, formula=formula, id_=None, groups={}, smiles=smiles)
    failed = Failures(place.name, "skip")
    entries = read_entries(found, roles, place.parent, failed, False, 1)
    rows = [(e.number, e.id, e.content if e.atoms is None else e.atoms) for e in entries]
    items = [*rows, *((failure.row, failure.id, failure) for failure in failed)]
    return [(name, item) for _, name, item in sorted(items, key=lambda item: item[0])]


@dataclass(frozen=True, slots=True)
class _Told:
    """What the caller says of targets, by their names; see :func:`read_dataset`."""

    units: Mapping[str, str]
    titles: Mapping[str, str]
    definitions: Mapping[str, str]
    classes: Mapping[str, Classes]

    def check(self, roles: Roles) -> None:
        """Raise if something is said of what is no target."""
        for argument in ("units", "titles", "definitions", "classes"):
            for target in getattr(self, argument):
                check_choice(argument, target, tuple(roles.targets))

    def target(self, name: str, column: Column, kept: Indices, definition: str, vector: str) -> Target:
        """Return a target with the rows that are kept; ``definition`` is used if none was given."""
        return Target(
            values=column.values[kept],
            unit=self.units.get(name, ""),
            title=self.titles.get(name, _words(name, self.units.get(name, ""))),
            definition=self.definitions.get(name, definition),
            classes=column.classes,
            level=column.level,
            vector="" if column.classes else vector,
        )


@contextmanager
def _naming(place: Path) -> Iterator[None]:
    """Put the name of a file before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place.name}: {error}") from error


def _read_columns(entries: list[Entry], roles: Roles, told: _Told) -> dict[str, Column]:
    n_atoms = [len(entry.atoms) for entry in entries if entry.atoms is not None] if roles.has_structures else None
    columns: dict[str, Column] = {}
    for target in roles.targets:
        raws = [entry.raws[target] for entry in entries]
        try:
            columns[target] = read_column(raws, n_atoms, told.classes.get(target), bool(told.units.get(target)))
        except ValueError as error:
            raise ValueError(f"target {target!r}: {error}") from error
    return columns


def _kept(entries: list[Entry], columns: Mapping[str, Column], roles: Roles, failed: Failures) -> Indices:
    """Return the entries all of whose targets can be read; the others have failed."""
    bad: dict[int, str] = {}
    for target, key in roles.targets.items():
        for row, reason in columns[target].bad.items():
            bad.setdefault(row, f"{key!r}: {reason}")
    later = [entries[row] for row in sorted(bad)[1:]]
    others = [f"row {entry.number}" if entry.line is None else f"line {entry.line}" for entry in later]
    if len(others) > 5:
        others[5:] = [f"{len(others) - 5} more"]
    more = f"; also {', '.join(others)}" if others else ""
    for row, reason in sorted(bad.items()):
        entry = entries[row]
        failed.add(entry.number, entry.id, "target", reason + (more if failed.on_error == "raise" else ""), entry.line)
    return np.array([index for index in range(len(entries)) if index not in bad], dtype=np.intp)


def _words(name: str, unit: str = "") -> str:
    """Return a name as words: ``"band_gap"`` as ``"Band gap"``, and so ``"band_gap (eV)"`` whose unit is eV."""
    name = without_unit(name) if unit and guess_unit(name).casefold() == unit.casefold() else name
    words = name.replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]

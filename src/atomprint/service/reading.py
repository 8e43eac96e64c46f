"""What was sent, as structures and compositions: read as files are, with limits that hold before it costs.

Nothing that was sent is ever taken for the path of a file, and no reader is asked but those of this package: some of
ASE's run what they read.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.chemistry.formula import parse_formula
from atomprint.chemistry.smiles import Smiles, molecule_of
from atomprint.datasets.failures import Failure
from atomprint.datasets.files.structures import to_atoms
from atomprint.formats.cif import crystals_of_cif, is_cif, split_cif
from atomprint.formats.opening import decode, plain_name
from atomprint.formats.poscar import is_poscar, read_poscar
from atomprint.formats.structures import is_poscar_name
from atomprint.formats.xyz import read_xyz_frame, split_xyz
from atomprint.service.problems import Problem
from atomprint.service.settings import Limits
from atomprint.service.work import Ticket
from atomprint.util.extras import installed
from atomprint.util.text import in_words

FORMS = ("cif", "poscar", "xyz", "json", "formula")

_ENDINGS = {
    ".cif": "cif",
    ".mcif": "cif",
    ".xyz": "xyz",
    ".extxyz": "xyz",
    ".json": "json",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".smi": "smiles",
    ".smiles": "smiles",
}
_PACKED = {
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
_LONGEST_FORMULA = 200
_LONGEST_SMILES = 1000
_LONGEST_COMMENT = 32_768
_MOST_TAGS = 100_000
_BLOCK = re.compile(r"^\s*data_", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"(?<=\s)_")
_SMALL, _MOST_BRACKETS, _MOST_COMMAS = 2**18, 400_000, 1_200_000  # of JSON; pymatgen writes six lists for an atom
_SPHERE = 4 / 3 * np.pi * 6.0**3  # Å^3 around an atom in which others count as its neighbours
_BOX = 3.0  # Å
_LONGEST = 1000.0  # Å; to find the nearest atoms far away takes all images between


@dataclass(frozen=True, slots=True)
class Sent:
    """One text, file or record as it was sent.

    Parameters
    ----------
    content : str, bytes or mapping
        What it holds.
    name : str
        What the client calls it; may be empty.
    form : str or None
        One of ``FORMS``; None where name and content tell.
    """

    content: str | bytes | Mapping[str, Any]
    name: str = ""
    form: str | None = None


@dataclass(eq=False)
class Found:
    """The structures of a request in their order.

    Parameters
    ----------
    ids : list of str
        A name for each.
    items : list of (Atoms, dict or Failure)
        Structures, compositions, and what could not be read.
    """

    ids: list[str] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def failures(self) -> list[Failure]:
        """What could not be read."""
        return [item for item in self.items if isinstance(item, Failure)]


def read_sent(sent: Sequence[Sent], limits: Limits, ticket: Ticket) -> Found:
    """Return the structures and compositions of what was sent.

    Parameters
    ----------
    sent : sequence of Sent
        Each may hold several structures; they are then named ``"name#3"``.
    limits : Limits
        What is refused.
    ticket : Ticket
        Is checked before each structure.

    Raises
    ------
    Problem
        413 if there are more structures, or atoms in all, than are taken; 422 if there is nothing.
    """
    found = Found()
    n_atoms = 0
    for number, one in enumerate(sent):
        name = one.name or str(number)
        items = []
        for item in _each(one, limits, ticket):
            items.append(item)
            n_atoms += len(item) if isinstance(item, Atoms) else 0
            if len(found) + len(items) > limits.structures:
                raise Problem(413, f"a request may have {limits.structures} structures, and this has more")
            if n_atoms > limits.all_atoms:
                raise Problem(413, f"the structures of a request may have {limits.all_atoms} atoms, these have more")
        for k, item in enumerate(items):
            id_ = name if len(items) == 1 else f"{name}#{k}"
            found.ids.append(id_)
            found.items.append(Failure(len(found), id_, "read", str(item)) if isinstance(item, Exception) else item)
    if not found.items:
        raise Problem(422, "there are no structures in this request")
    return found


def _each(one: Sent, limits: Limits, ticket: Ticket) -> Iterator[Any]:
    """Yield structures, compositions, and errors in place of those that cannot be read."""
    try:
        content = _unpacked(one.content, limits.body) if isinstance(one.content, bytes) else one.content
        form = one.form or _form_of(one.name, content)
        for make in _readers(content, form, limits):
            ticket.check()
            try:
                made = make()
                yield made if isinstance(made, dict | Smiles) else _judged(made, limits)
            except Problem:
                raise
            except Exception as error:  # whatever a reader meets in what a stranger wrote
                yield _described(error)
    except Problem:
        raise
    except Exception as error:
        yield _described(error)


def _described(error: Exception) -> ValueError:
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return ValueError(str(error)[:1000])
    return ValueError(in_words(error, "it is damaged, or of another form"))


def _unpacked(data: bytes, largest: int) -> str:
    """Return the text of a file, which may be compressed by gzip and is then unpacked no further than it may be."""
    for magic, what in _PACKED.items():
        if data.startswith(magic):
            raise ValueError(f"this is {what}, and not unpacked here: send the files in it, plain or by gzip")
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(largest + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"the compressed data are broken: {error}") from error
        if len(data) > largest:
            raise ValueError(f"unpacked it has more than the {largest} bytes that are read")
    if b"\x00" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("this is no text")
    return decode(data)


def _form_of(name: str, content: str | Mapping[str, Any]) -> str:
    if isinstance(content, Mapping):
        return "json"
    plain = plain_name(PurePosixPath(name).name)
    if (ending := PurePosixPath(plain).suffix.lower()) in _ENDINGS:
        return _ENDINGS[ending]
    if is_poscar_name(plain):
        return "poscar"
    text = content.lstrip("\ufeff \t\r\n")
    if is_cif(text):
        return "cif"
    if text.startswith(("{", "[")) and ("\n" in text or '"' in text):
        return "json"
    if is_poscar(content.lstrip("\ufeff")):
        return "poscar"
    first, newline, _ = text.partition("\n")
    if newline and first.strip().isdecimal():
        return "xyz"
    if not text.rstrip().count("\n"):
        return "formula"
    raise ValueError(f"this text is no CIF, POSCAR, xyz, JSON or formula: {text[:60]!r}")


def _readers(content: str | Mapping[str, Any], form: str, limits: Limits) -> Iterator[Any]:
    """Yield for each structure in a content what makes it."""
    if form == "json":
        yield from _of_json(content, limits)
        return
    if not isinstance(content, str):
        raise ValueError(f"what is {form} must be text")
    if form in ("formula", "smiles"):
        make = _composition if form == "formula" else lambda line: _molecule(line.split()[0])
        lines = [line.strip() for line in content.splitlines() if line.strip()]
        if not lines:
            raise ValueError("there is no formula")
        yield from (lambda line=line: make(line) for line in lines)
    elif form == "xyz":
        for frame in split_xyz(content.splitlines(keepends=True)):
            yield lambda frame=frame: _atoms_of_frame(frame, limits)
    elif form == "poscar":
        _check_text(content, limits)
        yield lambda: read_poscar(content)
    else:
        if len(_TAG.findall(content, 0, limits.body)) > _MOST_TAGS or (
            sum(1 for _ in _BLOCK.finditer(content)) > limits.structures + 100
        ):
            raise ValueError("this CIF has more blocks or tags than are read here")
        for block in split_cif(content):
            yield lambda block=block: _crystal(block, limits)


def _check_text(text: str, limits: Limits) -> None:
    if len(text) > limits.text:
        raise ValueError(f"the text of a structure may have {limits.text} characters, this has {len(text)}")


def _check_atoms(n: int, limits: Limits) -> None:
    if n > limits.atoms:
        raise ValueError(f"a structure may have {limits.atoms} atoms here, this has {n}")


class Formula(dict[str, float]):
    """The amounts of a formula, with the text: some formulas are SMILES, too, and a model knows which it takes."""

    def __init__(self, text: str) -> None:
        super().__init__(parse_formula(text))
        self.text = text


def _composition(text: str) -> Formula | Smiles:
    if len(text) > _LONGEST_FORMULA:
        raise ValueError(f"a formula may have {_LONGEST_FORMULA} characters, this has {len(text)}")
    try:
        return Formula(text)
    except ValueError:
        if not installed("rdkit"):
            raise
        with suppress(ValueError):
            return _molecule(text)
        raise


def _molecule(text: Any) -> Smiles:
    if not isinstance(text, str) or not text.strip() or "\n" in text.strip():
        raise ValueError(f"SMILES must be text on a line, got {text!r:.60}")
    if len(text) > _LONGEST_SMILES:
        raise ValueError(f"SMILES may have {_LONGEST_SMILES} characters, this has {len(text)}")
    molecule_of(text)
    return Smiles(text.strip())


def _atoms_of_frame(frame: Any, limits: Limits) -> Atoms:
    _check_atoms(len(frame.lines) - 2, limits)
    if len(frame.lines) > 1 and len(frame.lines[1]) > _LONGEST_COMMENT:
        raise ValueError(f"the second line of a structure may have {_LONGEST_COMMENT} characters, this has more")
    return read_xyz_frame(frame)


def _crystal(block: str, limits: Limits) -> Atoms:
    _check_text(block, limits)
    crystals = crystals_of_cif(block, most_atoms=limits.atoms)
    if len(crystals) != 1:
        raise ValueError(f"a block of a CIF must hold one crystal, got {len(crystals)}")
    return crystals[0]


def _of_json(content: str | Mapping[str, Any], limits: Limits) -> Iterator[Any]:
    if isinstance(content, str):
        check_json(content)
        try:
            content = json.loads(content, parse_constant=_no_constant)
        except RecursionError:
            raise ValueError("this JSON is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"this is no JSON: {error}") from error
    for one in content if isinstance(content, list) else [content]:
        yield lambda one=one: _of_mapping(one, limits)


def check_json(text: str | bytes) -> None:
    """Raise ValueError where a JSON text has so many values that they would take far more memory than it."""
    if len(text) < _SMALL:
        return
    brackets, comma = ("[{", ",") if isinstance(text, str) else ((b"[", b"{"), b",")
    if sum(map(text.count, brackets)) > _MOST_BRACKETS or text.count(comma) > _MOST_COMMAS:  # type: ignore[arg-type]
        raise ValueError(
            f"JSON may have {_MOST_BRACKETS} lists and dictionaries and {_MOST_COMMAS} values, this has more"
        )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _of_mapping(record: Any, limits: Limits) -> Atoms | Smiles:
    if isinstance(record, Mapping) and "smiles" in record:
        return _molecule(record["smiles"])
    if not isinstance(record, Mapping):
        raise ValueError("a structure in JSON must be a dictionary, such as pymatgen's as_dict gives")
    for outer, inner in (("attributes", "cartesian_site_positions"), ("structure", "sites")):
        if isinstance(record.get(outer), Mapping) and inner in record[outer]:
            record = record[outer]
    for key in ("sites", "species_at_sites", "coords", "numbers", "positions"):
        if isinstance(record.get(key), list):
            _check_atoms(len(record[key]), limits)
    return to_atoms(record)  # a mapping, and so never a path


def _judged(atoms: Atoms, limits: Limits) -> Atoms:
    """Return a structure that descriptors can use, and that costs no more than it may."""
    _check_atoms(len(atoms), limits)
    atoms = to_atoms(atoms)
    spans = np.linalg.norm(atoms.cell.array, axis=1) * atoms.pbc
    if not atoms.pbc.all():
        spans = np.append(spans, np.ptp(atoms.positions, axis=0))
    if (longest := float(spans.max())) > _LONGEST:
        raise ValueError(f"a cell or a molecule may be {_LONGEST:g} Å long here, this is {longest:.4g} Å long")
    if (pairs := _n_pairs(atoms)) > limits.pairs:
        raise ValueError(
            f"this structure is too dense: about {pairs:.2g} pairs of atoms within 6 Å, and {limits.pairs} are taken"
        )
    return atoms


def _n_pairs(atoms: Atoms) -> float:
    """Return about how many pairs of atoms are within 6 Å, from how many share boxes of about 3 Å."""
    cell, pbc = atoms.cell.array, atoms.pbc
    if pbc.all():
        scaled = np.linalg.solve(cell.T, atoms.positions.T).T % 1.0
        volume = abs(np.linalg.det(cell))
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    else:  # what repeats along one or two vectors is about as dense as what is shown of it
        low = atoms.positions.min(axis=0)
        heights = np.maximum(atoms.positions.max(axis=0) - low, _BOX)
        scaled, volume = (atoms.positions - low) / (heights * (1 + 1e-9)), float(heights.prod())
    n = np.clip((heights / _BOX).astype(np.int64), 1, 1000)
    boxes = np.minimum((scaled * n).astype(np.int64), n - 1) @ np.array([n[1] * n[2], n[2], 1])
    counts = np.unique(boxes, return_counts=True)[1].astype(np.float64)
    return float(np.square(counts).sum() * _SPHERE / (volume / n.prod()))

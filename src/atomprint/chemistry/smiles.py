"""Molecules that are known by their bonds: SMILES and what else RDKit reads, as molecules of RDKit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from atomprint.util.extras import require
from atomprint.util.validation import check_bool

_STAMP = re.compile(r"^\[\d\d:\d\d:\d\d\] ", re.MULTILINE)
_SHOWN = 80  # characters of what was given, in messages
_ACCEPTED = "SMILES, InChI, the text of a mol file, a molecule of RDKit, or an ase.Atoms with 'smiles' in its info"


class Smiles(str):
    """A molecule by its bonds, as SMILES.

    To most of Python this is text. To atomprint it is a molecule where plain text would be a formula: ``"CO"`` is
    carbon monoxide, ``Smiles("CO")`` methanol. It is checked where it is used.

    Examples
    --------
    >>> Smiles("CO").composition  # doctest: +SKIP
    {'C': 1, 'H': 4, 'O': 1}
    """

    __slots__ = ()

    @property
    def composition(self) -> dict[str, int]:
        """Number of atoms of each element, hydrogen included, by symbol; open ends (``*``) are none.

        Raises
        ------
        ImportError
            If RDKit is not installed.
        ValueError
            If this is no molecule.
        """
        return dict(_composition(str(self)))

    @property
    def canonical(self) -> Smiles:
        """The one way in which RDKit writes the molecule, the same for all SMILES of it."""
        return smiles_of(self)


@contextmanager
def quiet_rdkit() -> Iterator[None]:
    """Keep RDKit from writing to the standard error within a ``with`` block."""
    block = require("rdkit.rdBase", "rdkit").BlockLogs()
    try:
        yield
    finally:
        del block


def is_molecule(item: Any) -> bool:
    """Return whether an object is one molecule that :func:`molecule_of` may take, and not a sequence of these."""
    return isinstance(item, str) or hasattr(item, "GetNumAtoms") or hasattr(item, "info")


def molecule_of(item: Any) -> Any:
    """Return a molecule of RDKit, without the hydrogens that were written out and the numbers of atoms (``[CH3:1]``).

    Parameters
    ----------
    item : str, rdkit.Chem.Mol or ase.Atoms
        SMILES, InChI, the text of a mol file; a molecule; or atoms that carry ``info["smiles"]``.

    Raises
    ------
    ImportError
        If RDKit is not installed.
    TypeError, ValueError
        If it is nothing of these, or no molecule; the message has RDKit's reason.
    """
    chem = require("rdkit.Chem", "rdkit", "reading molecules")
    given = item
    if hasattr(item, "info") and not isinstance(item, str):
        given = item.info.get("smiles")
        if given is None:
            raise ValueError("its bonds are not known: there is no 'smiles' in info")
    if isinstance(given, str):
        if not given.strip():
            raise ValueError(f"must be SMILES, got {str(given)!r}")
        if given.partition("$$$$")[2].strip():
            raise ValueError("must be one molecule, got the text of an SD file with several: read_dataset reads files")
        with quiet_rdkit():
            made = _parsed(chem, given)
        if made is None:
            raise ValueError(_reason(chem, given))
    elif hasattr(given, "GetNumAtoms"):
        with quiet_rdkit():
            made = chem.RemoveHs(given)
    else:
        raise TypeError(f"must be {_ACCEPTED}, got {given!r:.80}")
    if made.GetNumAtoms() == 0:
        raise ValueError("must have an atom, got none")
    return _unnumbered(chem, made)


def _unnumbered(chem: Any, mol: Any) -> Any:
    """Return a molecule of our own without map numbers, which tell atoms apart that are alike."""
    mapped = [atom for atom in mol.GetAtoms() if atom.GetAtomMapNum()]
    for atom in mapped:
        atom.SetAtomMapNum(0)
    if mapped:  # a centre whose neighbours only numbers told apart is none
        chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol


def _parsed(chem: Any, text: str) -> Any:
    stripped = text.strip()
    if stripped.startswith("InChI="):
        return chem.MolFromInchi(stripped)
    if "\n" in stripped:
        return chem.MolFromMolBlock(text)
    return chem.MolFromSmiles(stripped)


def _reason(chem: Any, text: str) -> str:
    """Return why RDKit does not read a text, in its words."""
    if "\n" in text.strip():
        return f"{text.strip()[:_SHOWN]!r} is no molecule: RDKit cannot read it as the text of a mol file"
    capture = getattr(require("rdkit.rdBase", "rdkit"), "CaptureErrorLog", None)  # not in older versions
    said = ""
    if capture is not None:
        with capture() as log:
            _parsed(chem, text)
        said = log.messages
    lines = [line.strip() for line in _STAMP.sub("", said).splitlines() if line.strip()]
    lines = [line.removeprefix("SMILES Parse Error: ").partition(" for input:")[0] for line in lines]
    at = next((line for line in lines if line.startswith("check for mistakes around")), "").rstrip(":")
    why = lines[0].partition(" while parsing:")[0] if lines else "RDKit does not say why"
    why = " ".join(filter(None, (why, at.removeprefix("check for mistakes "))))
    shown = text.strip() if len(text.strip()) <= _SHOWN else f"{text.strip()[:_SHOWN]}…"
    return f"{shown!r} is no molecule: {why}"


@lru_cache(maxsize=4096)
def _composition(text: str) -> tuple[tuple[str, int], ...]:
    found: Counter[str] = Counter()
    for atom in molecule_of(text).GetAtoms():
        if atom.GetAtomicNum():
            found[atom.GetSymbol()] += 1
        found["H"] += atom.GetTotalNumHs()
    return tuple(sorted((symbol, n) for symbol, n in found.items() if n))


def smiles_of(item: Any, *, stereo: bool = True) -> Smiles:
    """Return the one SMILES that RDKit writes for a molecule.

    Parameters
    ----------
    item : molecule
        As for :func:`molecule_of`.
    stereo : bool
        Whether mirror images, and isotopes, are told apart.
    """
    write = require("rdkit.Chem", "rdkit", "SMILES").MolToSmiles
    return Smiles(write(molecule_of(item), isomericSmiles=check_bool("stereo", stereo)))


def scaffold_of(item: Any) -> Smiles:
    """Return the scaffold of a molecule: its rings, what joins them, and atoms that double bonds hang on these.

    Parameters
    ----------
    item : molecule
        As for :func:`molecule_of`.

    Returns
    -------
    Smiles
        Without stereo, as RDKit writes it; empty for a molecule without rings.

    References
    ----------
    G. W. Bemis and M. A. Murcko, J. Med. Chem. 39, 2887 (1996).
    """
    murcko = require("rdkit.Chem.Scaffolds.MurckoScaffold", "rdkit", "scaffolds")
    with quiet_rdkit():
        scaffold = murcko.GetScaffoldForMol(molecule_of(item))
    return Smiles(require("rdkit.Chem", "rdkit").MolToSmiles(scaffold, isomericSmiles=False))

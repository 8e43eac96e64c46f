"""Crystals from CIF text: all atoms of the cell, or an error where the text leaves doubt which they are."""

from __future__ import annotations

import re

from ase import Atoms

_BEGINNING = re.compile(r"\ufeff?\s*(?:#[^\n]*\s+)*data_", re.IGNORECASE)


def is_cif(text: str) -> bool:
    """Return whether a text claims to be a CIF."""
    return _BEGINNING.match(text) is not None or "_cell_length_a" in text


def split_cif(text: str) -> list[str]:
    """Return a text for each data block with atoms, so that one that cannot be read does not hide the others.

    A text with one block or none is returned as it is.

    Raises
    ------
    ValueError
        If the text breaks the rules of the format.
    """
    from atomprint.formats.cif.blocks import read_blocks
    from atomprint.formats.cif.crystal import has_atoms

    blocks = [block for block in read_blocks(text) if has_atoms(block)]
    return [text] if len(blocks) < 2 else [block.text() for block in blocks]


def crystal_of_cif(text: str, *, allow_close: bool = False) -> Atoms:
    """Return the crystal that a CIF text describes, expanded by its symmetry.

    Raises
    ------
    ValueError
        If there is not exactly one crystal in the text, or :func:`crystals_of_cif` fails.
    """
    crystals = crystals_of_cif(text, allow_close=allow_close)
    if len(crystals) != 1:
        raise ValueError(f"a CIF must hold one crystal here, got {len(crystals)}")
    return crystals[0]


def crystals_of_cif(text: str, *, allow_close: bool = False, most_atoms: int | None = None) -> list[Atoms]:
    """Return all crystals in a CIF text, each expanded by its symmetry; blocks without atoms are passed over.

    The space group may be given by operations, a Hall symbol, a Hermann-Mauguin symbol in any setting, short or full,
    or by its number, in the tags of all versions of the format. Where these contradict each other, or leave the origin
    open, formula sum, number of formula units, multiplicities of sites and distances have to decide. Sites on special
    positions may have few digits. D and T are H.

    Parameters
    ----------
    text : str
        The text.
    allow_close : bool
        Whether atoms may be nearer to each other than any in matter, see
        :func:`~atomprint.formats.judge.check_distances`.
    most_atoms : int or None
        How many atoms a cell may have: one with more is refused before it is expanded by its symmetry.

    Raises
    ------
    ValueError
        If the text is no CIF, or what it says is incomplete or contradictory: a site is occupied in part, is one of
        several alternatives, or is no element; two sites coincide; hydrogen atoms are said to be attached; the
        space group is unknown or not that of the cell; the atoms do not make ``_chemical_formula_sum``; a crystal is
        modulated; atoms are too close. The message names block, site and value.

    Notes
    -----
    The text is read by gemmi (M. Wojdyr, J. Open Source Softw. 7, 4200 (2022)), whose table of 564 settings is used.
    """
    from atomprint.formats.cif.blocks import read_blocks  # gemmi takes 30 ms to import
    from atomprint.formats.cif.crystal import crystal_of_block

    crystals: list[Atoms] = []
    for block in read_blocks(text):
        try:
            atoms = crystal_of_block(block, allow_close, most_atoms)
        except ValueError as error:
            raise ValueError(f"{error} (data_{block.name})") from None
        if atoms is not None:
            crystals.append(atoms)
    if not crystals:
        raise ValueError("this CIF has no atoms in it")
    return crystals

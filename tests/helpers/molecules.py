"""SMILES for tests: common molecules, and what is unusual."""

from pathlib import Path

ALCOHOLS = ["CO", "CCO", "CCCO", "CC(C)O", "CCCCO", "CC(C)(C)O"]
UNUSUAL = {
    "salt": "CC(=O)[O-].[Na+]",
    "stereo": "C[C@H](N)C(=O)O",
    "double bond": "C/C=C/C",
    "isotope": "[2H]OC",
    "open end": "*CC*",
    "hydrogens": "[H]C([H])([H])O[H]",
    "radical": "[CH3]",
    "atom": "[Ar]",
    "complex": "[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1",
    "proton": "[H][H]",
}


def nci(n=200):
    """The first molecules of the National Cancer Institute's, which come with RDKit."""
    from rdkit import RDConfig

    file = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    return [line.split()[0] for line in file.read_text().splitlines()[:n]]

"""Data sets that come with ASE and need no network."""

from __future__ import annotations

import numpy as np

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.target import Target
from atomprint.util.types import FloatArray


def load_g2() -> Dataset:
    """Return the 148 molecules of the G2/97 test set with their enthalpies of formation.

    Returns
    -------
    Dataset
        Target ``"enthalpy"`` in kcal/mol, experimental, at 298 K. The 14 free atoms of ``ase.data.g2`` are left out:
        their enthalpies are at 0 K, and they have no neighbours to describe.

    Notes
    -----
    Geometries are optimised with MP2(full)/6-31G(d). Charge and spin are in no descriptor: CH2 and SiH2 occur twice,
    as singlet and as triplet, and differ in their geometries only.
    """
    from ase.collections import g2
    from ase.data.g2 import data, molecule_names

    return Dataset(
        name="g2",
        title="G2 molecules",
        structures=[g2[name] for name in molecule_names],
        ids=tuple(molecule_names),
        targets={
            "enthalpy": Target(
                values=np.array([data[name]["enthalpy"] for name in molecule_names], dtype=np.float64),
                unit="kcal/mol",
                title="Enthalpy of formation",
                definition="Experimental standard enthalpy of formation at 298 K, from the elements in their "
                "standard states, for one mole of molecules; negative if heat is released.",
            )
        },
        description="148 small molecules and radicals of H, Li, Be, B, C, N, O, F, Na, Al, Si, P, S and Cl, with up to "
        "14 atoms; geometries optimised with MP2(full)/6-31G(d).",
        source="Curtiss, Raghavachari, Redfern and Pople, J. Chem. Phys. 106, 1063 (1997), "
        "doi:10.1063/1.473182; enthalpies as in Staroverov et al., J. Chem. Phys. 119, 12129 (2003), "
        "doi:10.1063/1.1626543; both as given in ase.data.g2.",
    )


def load_dcdft() -> Dataset:
    """Return the 71 elemental crystals of the delta-codes-DFT project with their equations of state.

    Returns
    -------
    Dataset
        Targets ``"volume"`` (Å³/atom) and ``"bulk_modulus"`` (GPa), both from all-electron PBE calculations with
        WIEN2k, the reference of that project and known for all 71. (ASE also has experimental values, for 58.)

    Notes
    -----
    The crystals are given at (nearly) the very volume that is the target ``"volume"``: to predict it, rescale them
    first, or the answer is in the question.
    """
    from ase.collections import dcdft

    names = tuple(dcdft.names)

    def column(key: str) -> FloatArray:
        return np.array([dcdft.data[name][key] for name in names], dtype=np.float64)

    method = "All-electron PBE calculation with WIEN2k, at 0 K without zero-point motion, Birch–Murnaghan fit"
    return Dataset(
        name="dcdft",
        title="Elemental crystals",
        structures=[dcdft[name] for name in names],
        ids=names,
        targets={
            "volume": Target(
                column("wien2k_volume"), "Å³/atom", "Volume per atom", f"{method}: volume of least energy."
            ),
            "bulk_modulus": Target(
                column("wien2k_B"), "GPa", "Bulk modulus", f"{method}: bulk modulus at the volume of least energy."
            ),
        },
        description="The crystals of 71 elements from H to Rn, one for each, with 1 to 12 atoms in the cell, in "
        "their ground states (S and Mn: in a simpler structure), at the equilibrium that PBE gives.",
        source="Lejaeghere, Van Speybroeck, Van Oost and Cottenier, Crit. Rev. Solid State Mater. Sci. 39, 1 (2014), "
        "doi:10.1080/10408436.2013.772503; Lejaeghere et al., Science 351, aad3000 (2016), "
        "doi:10.1126/science.aad3000; https://github.com/molmod/DeltaCodesDFT, as given in ase.collections.dcdft.",
    )

"""Make tests/golden/pace_radial.npz: radial functions of pacemaker's families, from python-ace 0.4.0rc1.

Run it where that is installed: ``pip install python-ace==0.4.0rc1``.
"""

from pathlib import Path

import numpy as np
from pyace import create_multispecies_basis_config
from pyace.basis import ACEBBasisSet

R_CUT, N = 5.0, 6
FAMILIES = {"ChebExpCos": 5.25, "ChebPow": 2.0, "ChebLinear": 1.0, "SBessel": 1.0}
DISTANCES = np.linspace(0.2, 4.8, 24)


def functions(family: str, parameter: float) -> tuple[list, list]:
    bonds = {
        "radbase": family,
        "radparameters": [parameter],
        "rcut": R_CUT,
        "dcut": 0.01,
        "NameOfCutoffFunction": "cos",
    }
    embedding = {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1], "ndensity": 1}
    potential = {
        "cutoff": R_CUT,
        "deltaSplineBins": 0.0001,
        "elements": ["Al"],
        "embeddings": {"ALL": embedding},
        "bonds": {"ALL": bonds},
        "functions": {"ALL": {"nradmax_by_orders": [N], "lmax_by_orders": [0]}},
    }
    radial = ACEBBasisSet(create_multispecies_basis_config(potential)).radial_functions
    values, slopes = [], []
    for r in DISTANCES:
        radial.evaluate(r, N, N, 0, 0)
        values.append(radial.gr)
        slopes.append(radial.dgr)
    return values, slopes


if __name__ == "__main__":
    found = {}
    for family, parameter in FAMILIES.items():
        found[f"{family}_values"], found[f"{family}_slopes"] = functions(family, parameter)
        found[f"{family}_parameter"] = parameter
    np.savez_compressed(Path(__file__).with_name("pace_radial.npz"), r=DISTANCES, r_cut=R_CUT, **found)

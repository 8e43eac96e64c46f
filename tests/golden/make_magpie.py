"""Write ``magpie.npz``: features of matminer's Magpie preset, and the element data behind them.

Run it in an environment of its own::

    python -m venv peers
    peers/bin/pip install matminer==0.10.1
    peers/bin/python tests/golden/make_magpie.py
"""

from pathlib import Path

import numpy as np
from matminer.featurizers.composition import ElementProperty
from matminer.utils.data import MagpieData
from pymatgen.core import Composition, Element

FORMULAS = [
    "H2O",
    "NaCl",
    "Fe2O3",
    "LiCoO2",
    "Li0.5CoO2",
    "La0.7Sr0.3MnO3",
    "YBa2Cu3O7",
    "K4Fe(CN)6",
    "Ca3(PO4)2",
    "CuS5",
    "GaAs",
    "Ga0.5Al0.5As",
    "CoCrFeMnNi",
    "Bi2Te3",
    "PbTiO3",
    "UO2",
    "EuO",
    "HeNe",
    "CH3NH3PbI3",
    "Mg(Al0.5Fe0.5)2O4",
    "W",
    "Hf6C5N",
    "TaNbHfZrTi",
    "ThO2",
    "Pd3Ag",
    "Ce2O3",
    "Gd2Zr2O7",
    "NiTi",
    "XeF6",
]


def main() -> None:
    """Compute everything and write the file."""
    featurizer = ElementProperty.from_preset("magpie")
    data = MagpieData(impute_nan=False)
    elements = np.full((103, len(featurizer.features)), np.nan)
    for z in range(1, 104):
        for k, name in enumerate(featurizer.features):
            elements[z - 1, k] = data.get_elemental_property(Element.from_Z(z), name)
    np.savez_compressed(
        Path(__file__).resolve().parent / "magpie.npz",
        formulas=np.array(FORMULAS),
        properties=np.array(featurizer.features),
        statistics=np.array(featurizer.stats),
        elements=elements,
        features=np.array([featurizer.featurize(Composition(formula)) for formula in FORMULAS]),
    )


if __name__ == "__main__":
    main()

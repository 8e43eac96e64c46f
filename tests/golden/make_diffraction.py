"""Write ``diffraction.npz``: lines of powder patterns by pymatgen's calculators of X-rays and neutrons.

Run it where pymatgen is installed, from the folder ``tests``::

    python -m golden.make_diffraction
"""

from pathlib import Path

import numpy as np
from helpers.minerals import minerals
from pymatgen.analysis.diffraction.neutron import NDCalculator
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.io.ase import AseAtomsAdaptor

WAVELENGTH = 1.54184
RANGE = (10.0, 85.0)


def main() -> None:
    """Compute everything and write the file."""
    found = {}
    for name, atoms in minerals().items():
        structure = AseAtomsAdaptor.get_structure(atoms)
        for radiation, calculator in (("x-ray", XRDCalculator), ("neutron", NDCalculator)):
            pattern = calculator(wavelength=WAVELENGTH).get_pattern(structure, two_theta_range=RANGE)
            found[f"{name} {radiation}"] = np.array([pattern.x, pattern.y, pattern.d_hkls])
    np.savez_compressed(Path(__file__).resolve().parent / "diffraction.npz", **found)


if __name__ == "__main__":
    main()

"""Write ``structural.npz``: features of crystals by matminer and pymatgen.

Run it in an environment of its own, from the folder ``tests``::

    python -m venv peers
    peers/bin/pip install matminer==0.10.1 spglib ase
    peers/bin/python -m golden.make_structural
"""

import warnings
from pathlib import Path

import numpy as np
from helpers.minerals import minerals
from matminer.featurizers.structure import DensityFeatures, EwaldEnergy, GlobalSymmetryFeatures
from matminer.featurizers.structure.rdf import RadialDistributionFunction
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.io.ase import AseAtomsAdaptor

CHARGES = {"Na": 1, "Cl": -1, "Si": 4, "O": -2, "Ti": 4, "Sr": 2, "Cu": 0, "Fe": 0, "Mg": 0}


def main() -> None:
    """Compute everything and write the file."""
    found = {}
    for name, atoms in minerals().items():
        structure = AseAtomsAdaptor.get_structure(atoms)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            density = DensityFeatures().featurize(structure)
            charged = structure.copy()
            charged.add_oxidation_state_by_element({s: q for s, q in CHARGES.items() if s in atoms.symbols})
            found[f"{name} density"] = np.array(density[:2])
            ewald = EwaldEnergy(accuracy=10).featurize(charged)[0] if any(map(CHARGES.get, atoms.symbols)) else 0.0
            found[f"{name} ewald"] = np.array(ewald)
            number, system, _number, is_centric, n_ops = GlobalSymmetryFeatures().featurize(structure)
            found[f"{name} symmetry"] = np.array([str(v) for v in (number, system, is_centric, n_ops)])
            rows = []
            for site in range(len(structure)):
                faces = VoronoiNN().get_voronoi_polyhedra(structure, site).values()
                angles = np.array([face["solid_angle"] for face in faces])
                rows.append(
                    [
                        angles.sum() / angles.max(),
                        angles.sum() ** 2 / (angles**2).sum(),
                        sum(f["volume"] for f in faces),
                    ]
                )
            found[f"{name} voronoi"] = np.array(rows)
            rdf = RadialDistributionFunction(cutoff=8.0, bin_size=0.1)
            found[f"{name} rdf"] = np.array(rdf.featurize(structure), dtype=float)
    np.savez_compressed(Path(__file__).resolve().parent / "structural.npz", **found)


if __name__ == "__main__":
    main()

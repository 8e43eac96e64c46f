"""Features of crystals by matminer, pymatgen and freud; what ``descriptors/structural/test_values.py`` compares with.

Run it in an environment of its own, from the folder ``tests``::

    python -m venv peers
    peers/bin/pip install matminer==0.10.1 freud-analysis spglib ase
    peers/bin/python -W ignore -m golden.peers                        # writes peers.npz, of helpers.varied
    peers/bin/python -W ignore -m golden.peers some.extxyz found.npz  # of other crystals
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import freud
import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.io import read
from helpers.varied import varied
from matminer.featurizers.structure import ChemicalOrdering, DensityFeatures, EwaldEnergy, GlobalSymmetryFeatures
from matminer.featurizers.structure.rdf import PartialRadialDistributionFunction, RadialDistributionFunction
from pymatgen.analysis.diffraction.neutron import NDCalculator
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.local_env import LocalStructOrderParams, VoronoiNN
from pymatgen.io.ase import AseAtomsAdaptor

RANGE, WINDOW, N_LINES = (10.0, 85.0), 0.05, 10
RDF_END, RDF_STEP = 6.0, 0.2
GRID, SIGMA = 6, 0.6


def lines(structure: Any, calculator: Any) -> np.ndarray:
    """Return the angles of the strongest lines, and what is within a window around each, over the largest."""
    pattern = calculator().get_pattern(structure, two_theta_range=RANGE)
    if not len(pattern.x):
        return np.zeros((2, 0))
    strongest = np.sort(pattern.x[np.argsort(-pattern.y, kind="stable")[:N_LINES]])
    sums = np.array([pattern.y[np.abs(pattern.x - x) < WINDOW].sum() for x in strongest])
    return np.array([strongest, sums / sums.max()])


def cutoff(structure: Any) -> float:
    """Return a distance in the middle of the widest gap among those beyond the nearest neighbours."""
    distances = np.unique(np.concatenate([[n.nn_distance for n in near] for near in structure.get_all_neighbors(9.0)]))
    inner = np.flatnonzero(distances[:-1] < 1.6 * distances[0])
    widest = inner[np.argmax(np.diff(distances)[inner])] if len(distances) > 1 else 0
    return float(round((distances[widest : widest + 2].sum() if len(distances) > 1 else 2.2 * distances[0]) / 2, 3))


def box_of(atoms: Atoms, reach: float) -> tuple[Any, np.ndarray]:
    """Return a system of freud and how often crystals are repeated in it, which has room for a reach; turned round."""
    repeats = np.floor(2.05 * reach * np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)).astype(int) + 1
    large = atoms.repeat(repeats)
    # Upper triangles, with the origin in the middle. Mirror images have the same features.
    cell = Cell.fromcellpar(large.cell.cellpar()).array
    box = freud.box.Box.from_matrix(cell.T)
    positions = large.get_scaled_positions(wrap=False) @ cell
    return freud.AABBQuery(box, box.wrap(positions - cell.sum(axis=0) / 2)), repeats


def steinhardt(atoms: Atoms, reach: float) -> np.ndarray:
    """Return q4, q6, w6, and averaged q4 and q6 of all atoms by freud, in single precision."""
    system, _ = box_of(atoms, reach)
    found = []
    for options in ({"l": [4, 6]}, {"l": [6], "wl": True, "wl_normalize": True}, {"l": [4, 6], "average": True}):
        order = freud.order.Steinhardt(**options)
        order.compute(system, neighbors={"r_max": reach, "exclude_ii": True})
        found.append(order.particle_order.reshape(len(system.points), -1)[: len(atoms)])
    return np.hstack(found)


def order_parameters(structure: Any, reach: float) -> np.ndarray:
    """Return q2, q4 and q6 of all atoms by pymatgen."""
    found, parameters = [], LocalStructOrderParams(["q2", "q4", "q6"])
    for site, around in zip(structure, structure.get_all_neighbors(reach), strict=True):
        indices = list(range(1, len(around) + 1))
        found.append(parameters.get_order_parameters([site, *around], 0, indices_neighs=indices))
    return np.array(found, dtype=float)


def cells(structure: Any) -> np.ndarray:
    """Return of each atom the solid angles of its neighbours of each element over the largest, added up."""
    symbols = sorted({site.specie.symbol for site in structure})
    found = np.zeros((len(structure), len(symbols)))
    for site in range(len(structure)):
        faces = VoronoiNN().get_voronoi_polyhedra(structure, site).values()
        largest = max(face["solid_angle"] for face in faces)
        for face in faces:
            found[site, symbols.index(face["site"].specie.symbol)] += face["solid_angle"] / largest
    return found


def ordering(structure: Any, neighbours: np.ndarray) -> list[float]:
    """Return matminer's order of the first neighbours in close-packed crystals, else NaN.

    It takes pymatgen's cells of all atoms at once, which are built from fewer images than those of one atom: in cells
    of low symmetry some have other neighbours, or none.
    """
    if not np.allclose(neighbours.sum(axis=1), 12, atol=1e-4):
        return [np.nan]
    return list(ChemicalOrdering(shells=(1,), weight="solid_angle").featurize(structure))


def partial_rdf(structure: Any) -> tuple[list[str], np.ndarray]:
    """Return the pairs of elements and their distributions."""
    featurizer = PartialRadialDistributionFunction(cutoff=RDF_END, bin_size=RDF_STEP)
    _, found = featurizer.compute_prdf(structure)
    pairs = sorted({tuple(sorted(pair)) for pair in found})
    rows = [found[pair] if pair in found else found[pair[::-1]] for pair in pairs]
    return ["-".join(pair) for pair in pairs], np.array(rows)


def density(atoms: Atoms) -> np.ndarray:
    """Return freud's Gaussian density at some points of a grid; what it has in slanted cells is another thing."""
    reach = 6.5 * SIGMA
    system, repeats = box_of(atoms, reach)
    blurred = freud.density.GaussianDensity((GRID * repeats).tolist(), reach, SIGMA)
    return blurred.compute(system).density[:GRID:2, :GRID:2, :GRID:2].ravel()


def values(atoms: Atoms) -> dict[str, np.ndarray]:
    """Return all of a crystal."""
    structure, found = AseAtomsAdaptor.get_structure(atoms), {}
    reach = cutoff(structure)
    found["cutoff"] = np.array(reach)
    found["x-ray"], found["neutron"] = lines(structure, XRDCalculator), lines(structure, NDCalculator)
    found["density"] = np.array(DensityFeatures().featurize(structure))
    number, system, _, centric, operations = GlobalSymmetryFeatures().featurize(structure)
    found["symmetry"] = np.array([number, centric, operations], dtype=float)
    found["system"] = np.array(system)
    rdf = RadialDistributionFunction(cutoff=RDF_END, bin_size=RDF_STEP)
    found["rdf"] = np.array(rdf.featurize(structure), dtype=float)
    pairs, rows = partial_rdf(structure)
    found["pairs"], found["partial rdf"] = np.array(pairs), rows
    found["pymatgen q2 q4 q6"] = order_parameters(structure, reach)
    found["freud q4 q6 w6 qa4 qa6"] = steinhardt(atoms, reach)
    found["voronoi"] = cells(structure)
    found["ordering"] = np.array(ordering(structure, found["voronoi"]))
    found["gaussians"] = density(atoms)
    charged = structure.copy()
    charged.add_oxidation_state_by_guess(max_sites=-1)
    charges = np.array([float(site.specie.oxi_state) for site in charged])
    found["charges"] = charges
    found["ewald"] = np.array(EwaldEnergy(accuracy=10).featurize(charged) if charges.any() else [0.0])
    return found


def main() -> None:
    """Compute everything and write the file: all values of all crystals in a row, and where those of each end."""
    structures, out = varied(), Path(__file__).resolve().parent / "peers.npz"
    if len(sys.argv) > 1:
        structures, out = read(sys.argv[1], index=":"), Path(sys.argv[2])
    found = [values(atoms) for atoms in structures]
    stored = {}
    for name in found[0]:
        flat = [np.ravel(one[name]) for one in found]
        stored[name] = np.concatenate(flat)
        stored[f"{name} ends"] = np.cumsum([len(part) for part in flat]).astype(np.int32)
        if stored[name].dtype == np.float64 and name not in {"cutoff", "ewald"}:
            stored[name] = stored[name].astype(np.float32)
    np.savez_compressed(out, **stored)


if __name__ == "__main__":
    main()

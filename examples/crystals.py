"""From crystals to a model: SOAP of copper, silicon and rock salt, forces, stress, a random forest, and its limits.

Run with ``python examples/crystals.py``; it needs the extra ``report`` for the plot, ``crystals_parity.png``.

Three crystals are enough to see every step, and far too few to learn anything: the figures below say so themselves.
``atomprint demo`` does the same with 71 crystals.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import LeaveOneOut

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP
from atomprint.learn import Evaluation, Features, Problem, Split, evaluate, regression_metrics, top_features
from atomprint.report.plots import parity

# Isothermal bulk moduli at room temperature, in GPa: C. Kittel, Introduction to Solid State Physics, 8th ed., Wiley
# (2005), chapter 3, table 3 (Cu, Si) and table 7 (NaCl).
BULK_MODULUS = {"Cu": 137.0, "Si": 98.8, "NaCl": 24.0}


def crystals() -> dict[str, Atoms]:
    return {
        "Cu": bulk("Cu", "fcc", a=3.61),
        "Si": bulk("Si", "diamond", a=5.43),
        "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    }


def features(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Return one averaged SOAP vector for each crystal, and the names of the features."""
    soap = SOAP(species=["Na", "Cl", "Si", "Cu"], r_cut=4.0, n_max=6, l_max=4, periodic=True, average="inner", n_jobs=2)
    X = soap.create(structures)
    print(f"SOAP, averaged over the atoms of each crystal: {X.shape}")
    return X, soap.get_feature_names_out()


def forces_and_stress(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, float]:
    """Return forces and stress of a crystal in a linear model, and one component of the stress from differences.

    Energies are in eV here, so forces are in eV/Å and the stress in eV/Å^3, positive in tension.
    """
    # A smooth cutoff, so that atoms enter and leave without a jump.
    soap = SOAP(species=["Na", "Cl"], r_cut=5.0, cutoff_width=1.0, n_max=6, l_max=4, sigma=0.5, periodic=True)
    atoms = atoms.copy()
    atoms.positions[0] += [0.1, 0.05, 0.0]
    weights = np.random.default_rng(0).normal(size=soap.get_number_of_features())

    def energy(atoms: Atoms) -> float:
        return float((soap.create(atoms) @ weights).sum())

    gradient = soap.vjp(atoms, np.tile(weights, (len(atoms), 1)))
    forces, stress = -gradient.positions, gradient.strain / atoms.get_volume()

    h, energies = 1e-5, []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[0, 0] += sign * h
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
        energies.append(energy(strained))
    difference = (energies[0] - energies[1]) / (2 * h) / atoms.get_volume()
    print(f"\nForces on the atoms of {atoms.get_chemical_formula('metal')} in a linear model, one atom moved (eV/Å):")
    print(forces.round(4))
    print("Its stress (eV/Å^3):")
    print(stress.round(5))
    print(f"The component xx: {stress[0, 0]:.8f}, from differences: {difference:.8f}")
    return forces, stress, difference


def model() -> RandomForestRegressor:
    return RandomForestRegressor(n_estimators=100, random_state=0)


def main(output: Path | str = ".") -> Evaluation:
    structures = crystals()
    X, names = features(list(structures.values()))
    forces_and_stress(structures["NaCl"])
    y = np.array([BULK_MODULUS[name] for name in structures])
    target = Target(y, "GPa", "Bulk modulus", "isothermal, at room temperature, from experiment")
    dataset = Dataset(
        "three", "Three crystals", list(structures.values()), tuple(structures), {"bulk_modulus": target}, "", ""
    )
    problem = Problem.of(dataset, "bulk_modulus")
    given = Features("soap", "SOAP", "averaged over atoms", X, list(names), 0.0, {})

    # Test: two crystals to learn from, the third to predict.
    split = Split(train=np.array([0, 2]), test=np.array([1]), folds=(), seed=0)
    result = evaluate(model(), given, problem, split)
    (silicon,) = result.test.y_pred
    print(f"\nTrained on Cu and NaCl, tested on Si: predicted {silicon:.0f} GPa, measured {y[1]:.0f} GPa")
    for name, metric in result.test.metrics.values.items():
        print(f"  {name:10} {metric}")
    print("A good prediction by luck: the forest can only mix the two values that it has seen.")

    # Folds: each crystal predicted from the two others.
    everything = np.arange(3)
    split = Split(train=everything, test=everything[:0], folds=tuple(LeaveOneOut().split(X)), seed=0)
    left_out = evaluate(model(), given, problem, split).out_of_fold().y_pred
    print("\nEach crystal predicted from the two others:")
    for name, guess in zip(structures, left_out, strict=True):
        print(f"  {name:5} predicted {guess:4.0f} GPa, measured {BULK_MODULUS[name]:4.0f} GPa")
    print(f"  {regression_metrics(y, left_out)}")
    print("A negative R² is worse than always predicting the mean: nothing can be learnt from three crystals.")

    print("\nThe 10 features that the forest uses most:")
    for name, share in top_features(list(names), result.estimator.feature_importances_, 10):
        print(f"  {name:24} {100 * share:4.1f} %")

    path = Path(output) / "crystals_parity.png"
    parity(y, {"random_forest": result}, target).savefig(path, dpi=150)
    print(f"\nPredicted against true values: {path}")
    return result


if __name__ == "__main__":
    main()

"""By how much predictions of ideal structures change where these are written in another way.

Each model is fitted to ideal crystals or molecules; then the same ones, rotated, translated, with their atoms in
another order, in supercells and in other cells, are predicted. Printed is whatever changes by more than 1e-6 of the
target's standard deviation (probabilities: by more than 1e-6), and the largest change by model and by descriptor.

python benchmarks/invariance.py [--descriptors NAME …] [--models NAME …] [--data NAME …] [--samples N]
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.invariance import FAMILIES, METALS, NON_METALS, changed, crystals, molecules

from atomprint.descriptors import (
    ACSF,
    LMBTR,
    MBTR,
    SOAP,
    CoulombMatrix,
    ElementProperty,
    EwaldSumMatrix,
    NeighbourStatistics,
    SineMatrix,
    ValleOganov,
)
from atomprint.elements import ElementEmbedding, PropertyChannels
from atomprint.learn import MODELS, make_model
from atomprint.learn.models.anatomy import standard_deviation
from atomprint.pooling import Pooling

LIMIT = 1e-6
QUICK: dict[str, dict[str, Any]] = {
    "ensemble": {"members": ["ridge", "svm", {"type": "extra_trees", "n_estimators": 50}], "n_folds": 1},
    "resnet": {"width": 32, "n_epochs": 40},
    "mlp": {"max_iter": 200},
    "random_forest": {"n_estimators": 50},
    "extra_trees": {"n_estimators": 50},
    "hist_gradient_boosting": {"max_iter": 20, "min_samples_leaf": 3},
    "xgboost": {"n_estimators": 50},
}
COVARIANCE = Pooling("covariance", channels=[ElementEmbedding(n_channels=6, length_scale=0.4), "species"])
PROPERTIES = Pooling("mean", channels=[PropertyChannels(["period", "group"], scale=0.9, constant=False)])
BY_SPECIES = Pooling("mean", by_species=True)
SPECIES = [*METALS, *NON_METALS, "Ti"]
EXP = {"function": "exp", "scale": 1.0, "threshold": 1e-3}
ANGLES = {"min": 0, "max": 180, "n": 12, "sigma": 10}
DISTANCES = {"min": 0, "max": 6, "n": 12, "sigma": 0.4}
G = {"r_cut": 5.0, "g2_params": [[1, 1], [0.1, 2], [4, 3]], "g4_params": [[0.01, 1, 1], [0.01, 2, -1], [1, 4, -1]]}
REACH = {"function": "exp", "r_cut": 6.0, "threshold": 1e-3}


def soap(periodic: bool, **options: Any) -> SOAP:
    return SOAP(**{"r_cut": 5.0, "n_max": 4, "l_max": 3, "sigma": 0.5, "periodic": periodic, **options})


DESCRIPTORS: dict[str, Callable[[bool], Any]] = {
    "soap outer": lambda p: soap(p, average="outer"),
    "soap inner": lambda p: soap(p, average="inner"),
    "soap outer float32": lambda p: soap(p, average="outer", dtype="float32"),
    "soap mu2": lambda p: soap(p, average="outer", compression="mu2", n_max=8, l_max=6),
    "soap mu2 covariance": lambda p: soap(p, compression="mu2", pooling=COVARIANCE),
    "soap mu2 covariance float32": lambda p: soap(p, compression="mu2", pooling=COVARIANCE, dtype="float32"),
    "soap crossover mean std max": lambda p: soap(p, compression="crossover", pooling=("mean", "std", "max", "min")),
    "soap mu1nu1 of properties": lambda p: soap(p, compression="mu1nu1", pooling=PROPERTIES),
    "soap channels by species": lambda p: soap(p, species_embedding=ElementEmbedding(3), pooling=BY_SPECIES),
    "acsf mean std": lambda p: ACSF(
        **G, g3_params=[1.0], g5_params=[[0.01, 1, 1]], periodic=p, pooling=("mean", "std")
    ),
    "acsf covariance": lambda p: ACSF(**G, periodic=p, pooling=COVARIANCE),
    "mbtr k2": lambda p: MBTR({"function": "distance"}, DISTANCES, REACH, periodic=p, normalization="l2"),
    "mbtr k3": lambda p: MBTR({"function": "angle"}, ANGLES, EXP, periodic=p, normalization="n_atoms"),
    "lmbtr mean std": lambda p: LMBTR({"function": "angle"}, ANGLES, EXP, periodic=p, pooling=("mean", "std")),
    "lmbtr covariance": lambda p: LMBTR({"function": "distance"}, DISTANCES, REACH, periodic=p, pooling=COVARIANCE),
    "valle oganov": lambda p: ValleOganov(SPECIES, "distance", n=12, sigma=0.4, r_cut=6.0),
    "neighbours": lambda p: NeighbourStatistics(4.0, periodic=p),
    "neighbours, smooth": lambda p: NeighbourStatistics(4.0, cutoff_width=1.0, periodic=p),
    "coulomb": lambda p: CoulombMatrix(n_atoms_max=60, permutation="eigenspectrum"),
    "sine": lambda p: SineMatrix(n_atoms_max=60, permutation="eigenspectrum"),
    "ewald": lambda p: EwaldSumMatrix(n_atoms_max=60, permutation="eigenspectrum"),
    "properties": lambda p: ElementProperty(missing="impute"),
}
OF_ONE_CELL = ("sine", "ewald")  # matrices of the atoms of a cell
ONLY_CRYSTALS, ONLY_MOLECULES = ("sine", "ewald", "valle oganov"), ("coulomb",)


def targets(structures: Any, rng: np.random.Generator) -> np.ndarray:
    sizes = [a.get_volume() / len(a) if a.pbc.any() else a.numbers.mean() for a in structures]
    return np.log(sizes) + 0.05 * np.array([a.numbers.std() for a in structures]) + 0.3 * rng.normal(size=len(sizes))


def largest_change(name: str, kind: str, X: Any, y: Any, others: dict[str, Any]) -> tuple[float, str]:
    """Return by how much predictions and spreads of a model change at most, and where."""
    model = make_model(name, kind, random_state=0, **QUICK.get(name, {})).fit(X, y)

    def found(Z: Any) -> np.ndarray:
        if kind == "classification":
            return np.asarray(model.predict_proba(Z))
        spread = standard_deviation(model, Z)
        guess = model.predict(Z)
        return np.column_stack([guess] if spread is None else [guess, spread]) / y.std()

    here = found(X)
    return max((float(np.abs(found(Z) - here).max()), what) for what, Z in others.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, known in (("descriptors", DESCRIPTORS), ("models", MODELS), ("data", ("all", "molecules", *FAMILIES))):
        parser.add_argument(f"--{name}", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--samples", type=int, default=44)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    worst: dict[tuple[str, str], float] = {}
    for data in given.data:
        of_molecules = data == "molecules"
        families = tuple(FAMILIES) if data == "all" else (data,)
        structures = molecules(given.samples) if of_molecules else crystals(families, given.samples)
        y = targets(structures, np.random.default_rng(3))
        by_kind = {"regression": y, "classification": np.digitize(y, np.quantile(y, [0.33, 0.67]))}
        for key in given.descriptors:
            if key in (ONLY_CRYSTALS if of_molecules else ONLY_MOLECULES):
                continue
            descriptor = DESCRIPTORS[key](not of_molecules).fit(structures)
            X = descriptor.transform(structures)
            others = {
                what: descriptor.transform(same)
                for what, same in changed(structures)
                if key not in OF_ONE_CELL or what in ("rotated", "translated", "permuted")
            }
            for name in given.models:
                for kind in MODELS[name].kinds:
                    change, what = largest_change(name, kind, X, by_kind[kind], others)
                    worst[key, name] = max(change, worst.get((key, name), 0.0))
                    if change > LIMIT:
                        print(f"{data}, {key}, {name}, {kind}: {change:.1e} ({what})", flush=True)
    for place, title in ((1, "model"), (0, "descriptor")):
        print(f"\nLargest change by {title}")
        for entry in dict.fromkeys(pair[place] for pair in worst):
            print(f"  {entry:30s} {max(change for pair, change in worst.items() if pair[place] == entry):.1e}")
    sys.exit(bool(max(worst.values()) > LIMIT))


if __name__ == "__main__":
    main()

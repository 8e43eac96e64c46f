"""Makes a model file of this version, and the predictions that it must give for ever; run once for each format.

python tests/workflow/saved/models/make.py
"""

import json
from pathlib import Path

import numpy as np
from ase.build import molecule
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.learn import EnsembleRegressor, KernelRidgeCV, Problem
from atomprint.pooling import Pooling
from atomprint.workflow import TrainedModel, assemble
from atomprint.workflow.saved.container import FORMAT_VERSION

NAMES = ("H2O", "CH4", "H2", "O2", "CO", "CO2", "C2H2", "C2H4", "C2H6", "CH3OH", "H2CO", "H2O2")


def main() -> None:
    rng = np.random.default_rng(0)
    structures = [molecule(name) for name in NAMES]
    for atoms in structures:
        atoms.positions = (atoms.positions + rng.normal(0, 0.02, atoms.positions.shape)).round(6)
    ids = tuple(f"m{k}" for k in range(len(structures)))
    mass = Target(np.array([atoms.get_masses().mean() for atoms in structures]), "u", "Mean mass", "Made up.")
    dataset = Dataset("made-up", "Made up", structures, ids, {"mass": mass}, "", "", None)
    problem = Problem.of(dataset, "mass")
    soap = SOAP(r_cut=3.0, n_max=2, l_max=1, pooling=Pooling(("mean", "std")))
    features = FeatureUnion([("soap", soap), ("elements", ElementProperty(["mass", "group"], ["mean", "range"]))])
    members = [("ridge", Ridge(0.1)), ("kernel", KernelRidgeCV(random_state=0))]
    model = make_pipeline(StandardScaler(), EnsembleRegressor(members, "mean"))
    pipeline = assemble(features, model).fit(structures, problem.y)
    path = Path(__file__).with_name(f"format-{FORMAT_VERSION}.atomprint")
    loaded = TrainedModel.of(pipeline, problem, created="2026-11-29T00:00:00")
    loaded.save(path)
    some = [structures[k] for k in (0, 5, 11)]
    found = loaded.predict(some)
    expected = {
        "structures": [{"numbers": a.numbers.tolist(), "positions": a.positions.tolist()} for a in some],
        "values": found.values.tolist(),
        "distance": found.distance.tolist(),
        "in_domain": found.in_domain.tolist(),
        "n_features": loaded.n_features,
    }
    path.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Molecules for solar cells by their bonds and by their geometry: HOPV15, in which each has several conformers.

Run it as: python examples/photovoltaics.py [HOPV_15_revised_2.data]

Without a file HOPV15 is downloaded. Needs RDKit (pip install 'atomprint[rdkit]').
"""

import sys

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.datasets import load_hopv
from atomprint.descriptors import SOAP, MorganFingerprint
from atomprint.molecules import scaffold_of


def features(structures, groups):
    """Return a row for each molecule: fragments from its bonds, and SOAP averaged over its conformers."""
    _, first = np.unique(groups, return_index=True)
    fragments = MorganFingerprint(counts=True).create([structures[i] for i in first])  # by info["smiles"]
    soap = SOAP(r_cut=5.0, n_max=4, l_max=3, sigma=0.3, pooling="mean")
    every = soap.fit(structures).create(structures)
    averages = np.array([every[groups == groups[i]].mean(axis=0) for i in first])
    return first, {"fragments (2-D)": fragments, "SOAP, conformers averaged (3-D)": averages}


def main(path=None, target="homo", n_folds=5):
    dataset = load_hopv(path=path, conformers="all", on_error="skip").where_known(target)
    first, tables = features(list(dataset.structures), dataset.groups["molecule"])
    y = dataset.targets[target].values[first]
    scaffolds = [scaffold_of(dataset.structures[i]) or dataset.ids[i] for i in first]
    print(
        f"{len(dataset)} conformers of {len(y)} molecules, {len(set(scaffolds))} scaffolds; {target}, {n_folds} folds"
    )
    errors = {}
    for name, X in tables.items():
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 6, 17)))
        by_scaffold = cross_val_predict(model, X, y, cv=GroupKFold(n_folds), groups=scaffolds)
        errors[name] = mean_absolute_error(y, by_scaffold)
        print(f"  {name:32} mean absolute error on new scaffolds {errors[name]:.3f}")
    return errors


if __name__ == "__main__":
    main(*sys.argv[1:2])

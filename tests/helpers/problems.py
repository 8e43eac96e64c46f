"""Small problems and features for the tests of models, evaluations and studies."""

import numpy as np
from ase import Atoms
from sklearn.base import BaseEstimator, RegressorMixin

from atomprint.datasets import Dataset, Target
from atomprint.learn import Features, Problem


def problem_of(y, classes=(), structures=None):
    """Return a problem with a target for each of some compositions."""
    n = len(y)
    compositions = [f"H{i + 1}O" for i in range(n)] if structures is None else None
    target = Target(np.asarray(y, dtype=np.float64), "" if classes else "eV", "Energy", "made up", tuple(classes))
    ids = tuple(f"s{i}" for i in range(n))
    return Problem.of(Dataset("toy", "Toy", structures, ids, {"e": target}, "", "", compositions), "e")


def features_of(X, pairwise=False):
    names = [] if pairwise or not hasattr(X, "shape") else [f"x{i}" for i in range(X.shape[1])]
    return Features("toy", "Toy features", "made up", X, names, 0.0, {}, pairwise)


def atoms_problem(n_structures=20, n_atoms=4, seed=0):
    """Return a problem with a target for each of some atoms, with one that is not known."""
    rng = np.random.default_rng(seed)
    values = np.empty(n_structures, dtype=object)
    for i in range(n_structures):
        values[i] = i + 0.1 * rng.normal(size=n_atoms)
    values[3][1] = np.nan
    structures = [Atoms("H" * n_atoms, rng.uniform(0, 9, size=(n_atoms, 3))) for _ in range(n_structures)]
    target = Target(values, "ppm", "Shift", "made up", level="atom")
    ids = tuple(f"s{i}" for i in range(n_structures))
    return Problem.of(Dataset("atoms", "Atoms", structures, ids, {"shift": target}, "", ""), "shift")


class Failing(RegressorMixin, BaseEstimator):
    def __init__(self, where="fit", below=26):
        self.where = where
        self.below = below

    def fit(self, X, y):
        if self.where == "fit" and len(X) < self.below:
            raise ArithmeticError("the weights have run away")
        return self

    def predict(self, X):
        if self.where == "shape":
            return np.zeros((len(X), 2))
        return np.full(len(X), np.nan)

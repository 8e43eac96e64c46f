"""One computation that takes minutes, in a process of its own, to be stopped from the keyboard: NAME as argument."""

import sys
import warnings

import numpy as np
from ase import Atoms
from ase.build import bulk

from atomprint.descriptors import ACSF, LMBTR, MBTR, SOAP, CoulombMatrix, EwaldSumMatrix, SineMatrix, ValleOganov
from atomprint.kernels import REMatchKernel
from atomprint.neighbours import pairs
from atomprint.pooling import LocalFeatures

BIG = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (4, 4, 4)
SPECIES = ["Na", "Cl"]
ALL = {"species": SPECIES, "periodic": True}
ANGLES = {
    "geometry": {"function": "angle"},
    "grid": {"min": 0, "max": 180, "n": 100, "sigma": 2.0},
    "weighting": {"function": "exp", "scale": 0.1, "threshold": 1e-4},
}
SOAP_OPTIONS = {**ALL, "r_cut": 12.0, "n_max": 10, "l_max": 10}
ACSF_OPTIONS = {**ALL, "r_cut": 120.0, "g4_params": [[0.01, 1, 1]]}


def molecule(n):
    rng = np.random.default_rng(0)
    return Atoms(rng.choice([11, 17], n), rng.uniform(0, 2.5 * n ** (1 / 3), (n, 3)))


def salt(n):
    crystal = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (n, n, n)
    crystal.rattle(0.05, seed=1)
    return crystal


def environments(n, size):
    return LocalFeatures(np.random.default_rng(0).normal(size=(n * size, 30)), np.arange(n + 1) * size)


# Each would take minutes at least, on any machine.
JOBS = {
    "soap": lambda: SOAP(**SOAP_OPTIONS).create([BIG] * 2000),
    "soap-threads": lambda: SOAP(**SOAP_OPTIONS, average="outer", n_jobs=3).create([BIG] * 2000),
    "soap-parts": lambda: SOAP(**SOAP_OPTIONS, pooling="max", n_jobs=2).create([BIG] * 2000),
    "soap-vjp": lambda: SOAP(**SOAP_OPTIONS, average="inner").vjp([BIG] * 500, np.ones((500, 2310))),
    "soap-derivatives": lambda: SOAP(**SOAP_OPTIONS, average="outer").derivatives([BIG]),
    "acsf-one-centre": lambda: ACSF(**ACSF_OPTIONS).create(BIG, centers=[0]),
    "acsf-vjp-one-centre": lambda: ACSF(**ACSF_OPTIONS).vjp(BIG, np.ones((1, 5)), centers=[0]),
    "acsf-derivatives": lambda: ACSF(**ACSF_OPTIONS, pooling="mean").derivatives(BIG),
    "mbtr": lambda: MBTR(**ALL, **ANGLES).create(BIG),
    "mbtr-threads": lambda: MBTR(**ALL, **ANGLES, n_jobs=3).create([BIG, salt(1)]),
    "mbtr-overlapped": lambda: MBTR(**ALL, **ANGLES, n_jobs=2).create([BIG] * 5000),
    "mbtr-stream": lambda: list(MBTR(**ALL, **ANGLES, n_jobs=2).iter_create([BIG] * 5000)),
    "mbtr-vjp": lambda: MBTR(**ALL, **ANGLES).vjp(BIG, np.ones(600)),
    "mbtr-derivatives": lambda: MBTR(**ALL, **ANGLES).derivatives(BIG, include=[0]),
    "lmbtr": lambda: LMBTR(**ALL, **ANGLES).create(BIG),
    "valle-oganov": lambda: ValleOganov(SPECIES, "angle", n=100, sigma=2.0, r_cut=60.0).create(BIG),
    "eigenvalues": lambda: CoulombMatrix(9000, permutation="eigenspectrum").create([molecule(9000)] * 9),
    "eigenvectors": lambda: CoulombMatrix(5000, permutation="eigenspectrum").vjp(
        [molecule(5000)] * 9, np.ones((9, 5000))
    ),
    "sorted": lambda: SineMatrix(4096).create([bulk("NaCl", "rocksalt", 5.64, cubic=True) * (8, 8, 8)] * 50),
    "ewald": lambda: EwaldSumMatrix(4096, accuracy=1e-14).create([salt(8)] * 50),
    "ewald-vjp": lambda: EwaldSumMatrix(1728, accuracy=1e-14).vjp([salt(6)] * 20, np.ones((20, 1728**2))),
    "rematch": lambda: REMatchKernel(metric="rbf", gamma=0.01, alpha=0.05, threshold=1e-20).create(
        environments(40, 2000)
    ),
    "pairs": lambda: pairs([BIG] * 1000, 40.0),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    job = JOBS[sys.argv[1]]
    print("started", flush=True)
    try:
        job()
        print("finished", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)

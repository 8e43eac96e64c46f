"""Write ``kernels.npz``: kernel matrices of DScribe for random features.

Run it in an environment of its own, as ``make_golden.py``::

    peers/bin/python tests/golden/make_kernels.py
"""

import json
from pathlib import Path

import numpy as np
from dscribe.kernels import AverageKernel, REMatchKernel

CLASSES = {"AverageKernel": AverageKernel, "REMatchKernel": REMatchKernel}
METRICS = [
    {"metric": "linear"},
    {"metric": "polynomial", "degree": 2, "gamma": 0.7, "coef0": 0.3},
    {"metric": "polynomial"},
    {"metric": "rbf", "gamma": 0.4},
    {"metric": "rbf"},
    {"metric": "laplacian", "gamma": 0.2},
    {"metric": "sigmoid", "gamma": 0.5, "coef0": 0.1},
    {"metric": "cosine"},
]
MATCHES = [{}, {"alpha": 1.0, "threshold": 1e-3}, {"alpha": 0.02, "threshold": 1e-9}]


def main() -> None:
    """Compute everything and write the file."""
    rng = np.random.default_rng(20240301)
    counts, n_features = [3, 1, 7, 12, 5, 9], 6
    # Similarities of features of unit length without a sign, as those of SOAP are positive.
    rows = rng.gamma(0.5, size=(sum(counts), n_features))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    features = np.split(rows, np.cumsum(counts)[:-1])
    cases = [("AverageKernel", metric) for metric in METRICS]
    cases += [("REMatchKernel", {**metric, **match}) for metric in METRICS for match in MATCHES]
    cases = [(name, {**kwargs, "normalize_kernel": flag}) for name, kwargs in cases for flag in (True, False)]
    arrays = {"rows": rows, "counts": np.array(counts), "cases": np.array(json.dumps(cases))}
    arrays["square"] = np.array([CLASSES[name](**kwargs).create(features) for name, kwargs in cases])
    arrays["cross"] = np.array([CLASSES[name](**kwargs).create(features[:2], features[2:]) for name, kwargs in cases])
    np.savez_compressed(Path(__file__).resolve().parent / "kernels.npz", **arrays)


if __name__ == "__main__":
    main()

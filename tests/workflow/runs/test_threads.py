"""How many threads the fits of a run have."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from atomprint.learn.evaluation import evaluate
from atomprint.workflow import Recipe, train


@pytest.mark.parametrize(("n_jobs", "limit"), [(1, 2), (8, 1), (2, 2)])
def test_no_fit_has_more_threads_than_it_may(n_jobs, limit, tmp_path, monkeypatch):
    """Neither those of folds nor the last one, to all samples: ``n_jobs``, or the limit of a caller if it is lower."""
    used = []

    fit = HistGradientBoostingRegressor.fit

    def told(self, X, y):
        used.append((len(X), {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}))
        return fit(self, X, y)

    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", told)
    monkeypatch.setattr(evaluate, "cpu_count", lambda: 8)
    crystals = [bulk("Cu", a=3.4 + i / 50) for i in range(20)]
    for i, atoms in enumerate(crystals):
        atoms.info["y"] = float(np.sin(i))
    write(tmp_path / "copper.extxyz", crystals)
    recipe = Recipe.from_dict(
        {
            "data": {"path": str(tmp_path / "copper.extxyz"), "target": "y"},
            "features": {"soap": {"type": "SOAP", "r_cut": 3.0, "n_max": 2, "l_max": 1, "pooling": "mean"}},
            "models": {"hist_gradient_boosting": {"max_iter": 2}},
            "split": {"test_size": 0.2, "n_folds": 2},
            "evaluation": {"learning_curve": False, "n_repeats": 0},
            "n_jobs": n_jobs,
        }
    )
    with threadpool_limits(limit, user_api="openmp"):
        train(recipe)
    assert {n for n, _ in used} == {8, 16, 20}
    assert all(max(found) <= min(n_jobs, limit) for _, found in used)
    assert [found for n, found in used if n == 20] == [{min(n_jobs, limit)}]

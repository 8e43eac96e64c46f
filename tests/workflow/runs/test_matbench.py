"""Matbench: folds, the table beside published figures, and the file of a submission."""

import gzip
import hashlib
import json

import numpy as np
import pytest
from helpers.shared import SHARED, needs_shared
from helpers.synthetic import make_problem, make_study
from sklearn.model_selection import KFold

from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.runs.matbench import benchmark_recipe, comparison, run_benchmark, standing, write_submission
from atomprint.workflow.runs.published import PUBLISHED, Published

N = 4604
METALS = ("Li", "Na", "K", "Mg", "Ca", "Al", "Fe", "Cu", "Zn", "Ti")


def composition_recipe(**models):
    return Recipe.from_dict(
        {
            "data": {"name": "matbench_expt_gap"},
            "features": {"composition": {"type": "ElementProperty", "properties": ["mass", "group"]}},
            "models": models,
            "evaluation": {"learning_curve": False, "n_repeats": 1},
            "n_jobs": 1,
        }
    )


@pytest.fixture(scope="module")
def task_file(tmp_path_factory):
    """A file in the form of matbench_expt_gap, with as many rows."""
    rng = np.random.default_rng(0)
    rows = [[f"{METALS[k % 10]}{1 + k // 10}O", float(rng.random())] for k in range(N)]
    path = tmp_path_factory.mktemp("data") / "matbench_expt_gap.json.gz"
    content = {"index": list(range(len(rows))), "columns": ["composition", "gap expt"], "data": rows}
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return str(path)


@pytest.fixture(scope="module")
def run(task_file):
    """Its run through the folds of Matbench."""
    return run_benchmark(
        "matbench_expt_gap", recipe=composition_recipe(ridge={}, decision_tree={"max_depth": 3}), path=task_file
    )


def test_folds_are_those_of_matbench(run):
    expected = list(KFold(5, shuffle=True, random_state=18012019).split(range(N)))
    for (train, test), (fit, predict) in zip(expected, run.study.split.folds, strict=True):
        np.testing.assert_array_equal(train, fit)
        np.testing.assert_array_equal(test, predict)
    assert len(run.study.split.test) == 0


def test_a_recipe_can_leave_features_to_the_data(task_file):
    given = Recipe.auto("matbench_expt_gap", overrides=["models.ridge.alpha=1.0", "n_jobs=1"])
    run = run_benchmark("matbench_expt_gap", recipe=given, path=task_file)
    assert list(run.recipe.features) == ["properties", "fractions", "charges", "composition"]
    assert run.recipe.split.method == "official"
    assert any(f"{N:,} compositions of 11 elements" in reason for reason in run.reasons)


def test_published_figures_stand_beside_those_of_the_run(run):
    rows = comparison(run.study, "matbench_expt_gap")
    figures = [line.figure for line in rows]
    assert figures == sorted(figures)  # the best first
    own = [line.model for line in rows if line.row is not None]
    assert any("Ridge" in name for name in own)
    assert len(own) == 4  # with the baseline and the choice
    assert len(rows) == 4 + len(PUBLISHED["matbench_expt_gap"])
    roles = {line.row.model: line.row.role for line in rows if line.row is not None}
    assert roles == {"dummy": "baseline", "ridge": "candidate", "decision_tree": "candidate", "chosen": "result"}
    (chosen,) = [line for line in rows if line.row is not None and line.row.role == "result"]
    assert chosen.figure == run.study.chosen.cross_validation["mae"].mean.value
    low, high = chosen.row.coverage_range
    assert low <= chosen.row.coverage.value <= high
    assert abs(chosen.row.coverage.value - 0.9) < 0.02
    assert chosen.row.seconds_models > 0


def test_submissions_are_as_matbench_reads_them(run, tmp_path):
    path = tmp_path / "results.json"
    write_submission(path, run.study, "matbench_expt_gap")
    document = json.loads(path.read_text())
    digest = document.pop("hash")

    def ordered(value):
        return {key: ordered(value[key]) for key in sorted(value)} if isinstance(value, dict) else value

    assert hashlib.sha256(json.dumps(ordered(document)).encode()).hexdigest() == digest
    results = document["tasks"]["matbench_expt_gap"]["results"]
    assert list(results) == [f"fold_{k}" for k in range(5)]
    predicted = [name for fold in results.values() for name in fold["data"]]
    assert sorted(predicted) == [f"mb-expt-gap-{k:04d}" for k in range(1, N + 1)]
    for fold, evaluated, (_, model) in zip(
        results.values(), run.study.chosen.folds, run.study.choice.winners, strict=True
    ):
        assert fold["parameters"]["model"] == model
        assert set(fold) == {"data", "parameters", "scores"}
        assert set(fold["scores"]) == {"mae", "rmse", "mape", "max_error"}
        assert fold["scores"]["mae"] == pytest.approx(evaluated.metrics["mae"].value)


def test_the_table_on_the_console_tells_what_to_read(run, capsys):
    from atomprint.cli import benchmark

    benchmark.show_comparison(run.study, "matbench_expt_gap")
    text = " ".join(capsys.readouterr().out.split())
    assert "for information" in text
    assert "truth" in text
    assert "Chosen" in text
    first = run.study.chosen.folds[0].metrics["mae"].value
    assert "fold 1" in text
    assert f"{first:.4f}" in text
    assert "arXiv:2304.02213" in text
    assert "submitted on 12 August 2026 and not on the leaderboard" in text


def test_areas_under_the_curve_of_classes_stand_beside_what_leaderboards_call_so(capsys):
    from atomprint.cli import benchmark

    study = make_study(make_problem("classification"), test=False, noise=1.2)
    benchmark.show_comparison(study, "matbench_mp_is_metal")
    text = capsys.readouterr().out
    assert "“rocauc”" in text
    assert "true" in text
    figures = study.chosen.cross_validation
    for name in ("balanced_accuracy", "leaderboard_rocauc", "roc_auc"):
        assert f"{figures[name].mean.value:.4f}" in text
    assert figures["roc_auc"].mean.value != figures["leaderboard_rocauc"].mean.value


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_published_figures_are_whole_and_the_best_first(task):
    sign = -1 if task == "matbench_mp_is_metal" else 1
    figures = [sign * one.figure for one in PUBLISHED[task]]
    assert figures == sorted(figures)
    assert "Dummy" in [one.model for one in PUBLISHED[task]]
    for one in PUBLISHED[task]:
        assert len(one.folds) in (0, 5)
        assert bool(one.folds) == (one.mean is None) == (one.spread is None)
        assert one.given in ("nothing", "composition", "structure")
        assert one.source.startswith(("doi:10.", "arXiv:", "github.com/"))
        assert 2018 <= one.year <= 2026


@pytest.mark.parametrize(
    ("task", "model", "figure", "spread"),
    [  # as the leaderboard has them
        ("matbench_expt_gap", "Darwin", 0.2865, 0.0083),
        ("matbench_expt_gap", "MODNet v0.1.12", 0.3327, 0.0239),
        ("matbench_perovskites", "coGN", 0.0269, 0.0008),
        ("matbench_mp_e_form", "CrabNet", 0.0862, 0.0010),
        ("matbench_mp_is_metal", "CGCNN v2019", 0.9520, 0.0074),
        ("matbench_mp_is_metal", "ALIGNN", 0.9128, 0.0015),
    ],
)
def test_means_and_spreads_are_those_of_the_leaderboard(task, model, figure, spread):
    (found,) = [one for one in PUBLISHED[task] if one.model == model]
    assert (found.figure, found.std) == pytest.approx((figure, spread), abs=1e-4)


def test_what_is_within_the_spread_of_the_folds_is_said(run, monkeypatch):
    own = [fold.metrics["mae"].value for fold in run.study.chosen.folds]
    mean, spread = np.mean(own), np.std(own, ddof=1)
    made = (
        Published("Far", "composition", (), "arXiv:0", 2020, mean - 3 * spread, spread),
        Published("Near", "composition", (), "arXiv:0", 2020, mean - 0.5 * spread, 0.0),
        # The same in each fold but for a little: told apart, though the spread of the folds is much larger.
        Published("Always", "composition", tuple(np.array(own) + 0.1 * spread), "arXiv:0", 2020),
        Published("First", "composition", (own[0] / 2, *np.array(own[1:]) * 2), "arXiv:0", 2020),
    )
    monkeypatch.setattr("atomprint.workflow.runs.matbench.PUBLISHED", {"matbench_expt_gap": made})
    said = standing(run.study, "matbench_expt_gap")
    assert f"fold 1 alone {own[0]:.4f}: place 3 of 5" in said[0]
    assert said[1].startswith("Ahead of it by more than the spread")
    assert "Far" in said[1]
    assert "Near" not in said[1]
    assert [name in said[2] for name in ("Near", "Always", "First")] == [True, False, False]
    assert said[3] == f"Better on fold 1 alone: First ({own[0] / 2:.4f})."
    assert "only the figure of fold 1" in said[4]
    assert standing(run.study, "matbench_expt_gap", shipped=False) == said[:4]


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_every_task_has_a_recipe_with_a_model_beyond_the_baseline(task):
    recipe = benchmark_recipe(task)
    assert recipe.data.name == task
    assert len(recipe.models) >= 1


def test_unknown_tasks_are_refused():
    with pytest.raises(ValueError, match="task must be one of 'matbench_expt_gap'"):
        benchmark_recipe("matbench_steel")


@needs_shared
@pytest.mark.parametrize("task", ["matbench_expt_gap"])
def test_the_baseline_reproduces_the_published_figure(task):
    recipe = composition_recipe(decision_tree={"max_depth": 2})
    found = run_benchmark(task, recipe=recipe, path=str(SHARED / "matbench" / f"{task}.json.gz"))
    (dummy,) = [row.figure for row in PUBLISHED[task] if row.model == "Dummy"]
    assert found.study.baseline.cross_validation["mae"].mean.value == pytest.approx(dummy, abs=5e-5)

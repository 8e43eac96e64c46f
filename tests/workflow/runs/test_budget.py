"""Minutes that a run may take: what does not fit is left out in a fixed order, and said; a model is always there."""

from time import monotonic

import numpy as np
import pytest
from helpers.slow import CLOCK, SlowRidge

from atomprint.util.budget import Budget
from atomprint.workflow import Recipe, train
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs import economy
from atomprint.workflow.runs.economy import Curve, economise, measure

N = 120


def slow(seconds, **options):
    return {"type": "helpers.slow.SlowRidge", "seconds": seconds, **options}


@pytest.fixture
def recipe(tmp_path):
    """Return what makes a recipe with some minutes, models and other tables."""
    rng = np.random.default_rng(0)
    y = np.arange(N) + rng.normal(size=N)
    rows = "\n".join(f"Fe{k + 1}O{1 + (7 * k) % 13},{value}" for k, value in enumerate(y))
    (tmp_path / "made.csv").write_text(f"formula,y\n{rows}\n", encoding="utf-8")

    def made(minutes, models, **tables):
        table = {
            "data": {"path": str(tmp_path / "made.csv"), "formula": "formula", "target": "y"},
            "features": {"shares": {"type": "CompositionChannels", "channels": "species", "species": ["O", "Fe"]}},
            "models": models,
            "evaluation": {"learning_curve": True, "n_repeats": 2},
            "n_jobs": 1,
            **({} if minutes is None else {"minutes": minutes}),
            **tables,
        }
        return Recipe.from_dict(table)

    return made


def run(given):
    CLOCK.now = 0.0
    return train(given, clock=CLOCK)


# A fit to 96 samples of the training part in 5 folds of 77, the test part and all: 0.1 s a sample are about 60 s.


def test_with_time_enough_nothing_is_left_out(recipe):
    models = {"one": slow(0.1), "two": slow(0.2, alpha=2.0)}
    given, free = run(recipe(60, models)), run(recipe(None, models))
    assert given.study.left_out == ()
    assert given.study.learning_curve is not None
    assert given.study.to_dict()["left_out"] == []
    assert given.recipe == free.recipe
    assert [t.to_dict()["models"]["two"]["test"]["mae"] for t in given.study.trials] == [
        t.to_dict()["models"]["two"]["test"]["mae"] for t in free.study.trials
    ]


def test_the_learning_curve_goes_first_then_the_importance(recipe):
    made = run(recipe(2.2, {"one": slow(0.1)}))
    assert made.study.left_out == ("Learning curve: there is none.",)
    assert made.study.trials[0].importance is not None
    assert made.recipe.evaluation.learning_curve is False
    made = run(recipe(10, {"one": slow(0.1, predicting=24.0)}))
    assert made.study.left_out[0] == "Importance: features are scrambled once instead of 2 times."
    made = run(recipe(10, {"one": slow(0.1, predicting=70.0)}))
    assert made.study.left_out[0] == "Importance: features are not scrambled."
    assert made.study.trials[0].importance is None
    assert made.recipe.evaluation.n_repeats == 0


def test_folds_then_models_are_fewer_the_dearest_first(recipe):
    models = {name: slow(s, title=name) for name, s in (("quick", 0.05), ("dear", 0.4), ("dearest", 1.0))}
    made = run(recipe(4, models))
    assert made.study.left_out[:3] == (
        "To end within 4 min, things were left out: all of it was expected to take about 18 min.",
        "Cross-validation: 3 folds instead of 5.",
        "Models: without dearest.",
    )
    assert list(made.recipe.models) == ["quick"]
    assert made.recipe.split.n_folds == 3
    assert CLOCK.now < 4 * 60
    assert made.study.best()[1] == "quick"


def test_what_was_left_out_is_said_in_card_and_report(recipe):
    made = run(recipe(4, {"quick": slow(0.05), "dearest": slow(1.0)}))
    said = "Cross-validation: 3 folds instead of 5."
    assert said in made.study.caveats()
    assert said in made.model.card.notes
    assert said in made.study.to_dict()["caveats"]
    assert made.recipe.minutes is None
    assert "minutes" not in made.recipe.to_toml()


def test_members_of_an_ensemble_are_fewer(recipe):
    members = [{"name": "quick", **slow(0.02)}, {"name": "dear", **slow(0.5)}]
    made = run(recipe(2, {"ensemble": {"members": members}}))
    assert "Ensemble: how much each member counts is learnt from one part held out, not from inner folds." in (
        made.study.left_out
    )
    assert "Ensemble: without the member dear." in made.study.left_out
    assert [member["name"] for member in made.recipe.models["ensemble"].parameters["members"]] == ["quick"]
    assert CLOCK.now < 2 * 60


def test_samples_are_fewer_where_nothing_else_is_left_and_the_recipe_gives_the_same_again(recipe):
    made = run(recipe(1, {"one": slow(0.2)}))
    assert any(sentence.startswith("Data: only ") for sentence in made.study.left_out)
    assert 50 <= len(made.study.problem) < N
    assert made.recipe.data.sample == len(made.study.problem)
    assert CLOCK.now < 60
    again = run(made.recipe)
    assert again.study.chosen.test.y_pred.tolist() == made.study.chosen.test.y_pred.tolist()
    assert again.study.left_out == ()


def test_a_model_is_always_left(recipe):
    made = run(recipe(0.01, {"one": slow(5.0), "two": slow(9.0)}))
    assert made.study.best()[1] == "one"
    assert made.study.chosen.test is not None
    assert made.model.predict(["Fe3O4"]).values.shape == (1,)


def test_searches_end_first(recipe):
    space = {"alpha": {"low": 0.1, "high": 10.0}}
    given = recipe(3, {"one": slow(0.05, space=space)}, search={"method": "random", "n_iter": 20, "n_folds": 2})
    CLOCK.now = 0.0
    plan, said = economise(Plan.of(given), Budget(3, CLOCK), lambda *_: None)
    assert said[1] == "Search: 5 combinations of hyperparameters are tried instead of 20."
    assert said[2] == "Search: there is none, hyperparameters are as they are by default."
    assert plan.recipe.search.method == "none"


def test_costs_are_extrapolated_from_small_fits(recipe):
    plan = Plan.of(recipe(None, {"one": slow(0.1)}))
    CLOCK.now = 0.0
    costs = measure(plan, Budget(1000, CLOCK), lambda *_: None)
    assert costs.fits["shares", "one"](1000) == pytest.approx(100)
    assert costs.of(plan) == pytest.approx(0.1 * sum([*(len(fit) for _, fit, _ in plan.split.parts()), N]))
    assert costs.of(plan, N // 2) == pytest.approx(costs.of(plan) / 2)
    CLOCK.now = 0.0
    measure(plan, Budget(1, CLOCK), lambda *_: None)
    assert CLOCK.now == pytest.approx(10)  # one small fit, which is timed twice: the first may import something


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_costs_are_what_is_always_there_and_what_grows(power):
    curve = Curve(2.0, 1e-6, power)
    found = Curve.through([(n, curve(n)) for n in (50, 100, 200, 400)])
    assert found == pytest.approx(curve)
    assert Curve.through([(50, 3.0)])(200) == pytest.approx(24)
    assert Curve.through([(50, 3.0), (100, 3.0)])(400) == pytest.approx(3)
    assert Curve.through([(50, 4.0), (100, 3.0)])(400) == pytest.approx(3.43, abs=0.1)  # times scatter


def test_a_budget_counts_by_its_clock():
    now = [5.0]
    budget = Budget(1, lambda: now[0])
    now[0] = 35.0
    assert (budget.left, budget.allows(30), budget.allows(31), budget.limited) == (30.0, True, False, True)
    free = Budget(None, lambda: now[0])
    assert free.allows(1e9)
    assert not free.limited


def test_the_report_is_kept_the_time_that_figures_take_on_this_machine(recipe, monkeypatch):
    plan = Plan.of(recipe(None, {"one": slow(0.1)}))
    left = []
    for each in (0.1, 2.0):
        monkeypatch.setattr(economy, "_seconds_of_a_figure", lambda clock, each=each: each)
        CLOCK.now, budget = 0.0, Budget(2, CLOCK)
        left.append(economise(plan, budget, lambda *_: None)[1])
        assert budget.at_the_end == max(15, 30 * each)
    assert len(left[0]) < len(left[1])


def test_a_figure_takes_time():
    pytest.importorskip("matplotlib")
    assert 0 < economy._seconds_of_a_figure(monotonic) < 600


@pytest.mark.parametrize("minutes", [0, -1])
def test_minutes_must_be_positive(recipe, minutes):
    with pytest.raises(ValueError, match=f"minutes must be > 0, got {minutes}"):
        recipe(minutes, {"one": slow(0.1)})
    assert SlowRidge().get_params()["seconds"] == 0.1

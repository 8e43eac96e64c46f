"""Few samples: folds alone, no more than suit them, and said."""

import numpy as np
import pytest

from atomprint.datasets import Dataset, Target
from atomprint.learn.splits.split import SplitSettings
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.recipe import Recipe


def completed(n, classes=None, **tables):
    """Return what is made of a recipe that leaves all open, for n formulas; classes are places of their names."""
    y = np.arange(float(n)) if classes is None else np.asarray(classes, dtype=float)
    target = Target(y, "", "Y", "made", classes=() if classes is None else ("no", "yes"))
    formulas = [f"Fe{k + 1}O" for k in range(n)]
    dataset = Dataset("made", "Made", None, tuple(map(str, range(n))), {"y": target}, "", "", formulas)
    table = {"data": {"path": "made.csv", "target": "y", "formula": "f"}, **tables}
    return complete(Recipe.from_dict(table), dataset)


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (4, 4), (5, 5), (30, 5)])
def test_few_numbers_have_folds_alone(n, folds):
    recipe, why = completed(n)
    assert recipe.split == SplitSettings("random", 0, folds)
    assert f"With {n} samples there is no test part" in why["split"][0]
    assert ("as there are" in why["split"][0]) == (folds < 5)


def test_more_have_a_test_part():
    recipe, why = completed(31)
    assert recipe.split == SplitSettings()
    assert "split" not in why


@pytest.mark.parametrize(
    ("classes", "method", "folds", "models"),
    [
        ([0, 0, 1, 1], "stratified", 2, ["extra_trees"]),
        ([0] * 9 + [1] * 3, "stratified", 3, ["extra_trees"]),
        ([0] * 9 + [1] * 4, "stratified", 4, ["extra_trees", "ridge"]),
        ([0] * 9 + [1], "random", 5, ["extra_trees"]),
    ],
)
def test_few_of_a_class_are_in_every_part(classes, method, folds, models):
    recipe, why = completed(len(classes), classes)
    assert recipe.split == SplitSettings(method, 0, folds)
    assert list(recipe.models) == models
    assert ("too few to compare models" in why["models"][0]) == (len(models) == 1)


def test_a_split_that_was_asked_for_stays():
    recipe, _ = completed(12, split={"test_size": 0.3, "n_folds": 3})
    assert recipe.split == SplitSettings(test_size=0.3, n_folds=3)


@pytest.mark.parametrize(("n", "split"), [(5, SplitSettings(test_size=0)), (12, SplitSettings())])
def test_recipes_that_leave_nothing_open_have_folds_alone_only_where_there_must_be(n, split):
    recipe, _ = completed(n, features={"c": {"type": "ElementProperty"}}, models={"ridge": {}})
    assert recipe.split == split

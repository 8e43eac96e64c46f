"""Orders of candidates, against definitions."""

import numpy as np
import pytest

from atomprint.screening import Objective, pareto_fronts
from atomprint.screening.ranking import ranked


def beats(a, b):
    return (a <= b).all() and (a < b).any()


@pytest.mark.parametrize("n_objectives", [2, 3])
def test_fronts_are_those_of_the_definition(n_objectives):
    costs = np.random.default_rng(0).integers(0, 7, (80, n_objectives)).astype(float)  # with ties
    fronts = pareto_fronts(costs)
    left, front = list(range(80)), 0
    while left:
        own = [i for i in left if not any(beats(costs[j], costs[i]) for j in left)]
        assert sorted(own) == np.flatnonzero(fronts == front).tolist()
        left, front = [i for i in left if i not in own], front + 1


def test_what_is_not_known_is_on_no_front():
    assert pareto_fronts(np.array([[1.0, np.nan], [2.0, 2.0]])).tolist() == [-1, 0]
    assert ranked(np.array([[np.nan], [2.0], [1.0]]))[0].tolist() == [2, 1]


def test_fronts_end_where_enough_is_found():
    costs = np.stack([np.arange(50.0), np.arange(50.0)], axis=1)
    assert ranked(costs, 3)[0].tolist() == [0, 1, 2]


def test_an_objective_is_small_or_large():
    columns = {"gap": [1.0, None, 3.0], "gap_lower": [0.5, None, 0.1], "word": ["a", "b", "c"]}
    largest = Objective.read("-gap", list(columns))
    np.testing.assert_array_equal(largest.costs(columns), [-1, np.nan, -3])
    np.testing.assert_array_equal(largest.costs(columns, cautious=True), [-0.5, np.nan, -0.1])
    np.testing.assert_array_equal(Objective.read("gap", list(columns)).costs(columns), [1, np.nan, 3])
    with pytest.raises(ValueError, match="by must be of gap, gap_lower, word, got 'gab': did you mean"):
        Objective.read("-gab", list(columns))
    with pytest.raises(ValueError, match="'word' has words"):
        Objective.read("word", list(columns)).costs(columns)

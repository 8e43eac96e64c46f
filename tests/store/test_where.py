"""Conditions, on columns with values that are not known."""

import numpy as np
import pytest

from atomprint.store import Condition

COLUMNS = {
    "gap": np.array([1.0, 3.0, np.nan, 2.0]),
    "phase": np.array(["a", "b", "b", None], dtype=object),
    "formula": np.array(["ClNa", "MgO", "O2Ti", None], dtype=object),
    "nothing": np.array([None, None, None, None], dtype=object),
}


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("not gap > 1.5", [0]),
        ("not (gap > 1.5 or gap < 0)", [0]),
        ("not (gap > 1.5 and 'O' in elements)", [0]),
        ("gap > 1.5 or phase == 'b'", [1, 2, 3]),
        ("not (gap > 2.5 and phase == 'b')", [0, 3]),  # whatever the phase, or the gap: one side is enough
        ("gap not in [1, 2]", [1]),
        ("gap not in []", [0, 1, 2, 3]),
        ("phase not in ['a']", [1, 2]),
        ("'Na' not in elements", [1, 2]),
        ("not elements <= ['Na', 'Cl']", [1, 2]),
        ("not 0 < gap < 2.5", [1]),
        ("nothing > 1", []),
        ("not nothing > 1", []),
        ("nothing != 'x'", []),
    ],
)
def test_what_is_not_known_fulfils_neither_a_condition_nor_its_opposite(condition, rows):
    assert np.flatnonzero(Condition.read(condition).of(COLUMNS, 4)).tolist() == rows

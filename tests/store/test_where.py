"""Conditions, on columns with values that are not known."""

import numpy as np
import pytest

from atomprint.store import Condition

COLUMNS = {
    "gap": np.array([1.0, 3.0, np.nan, 2.0]),
    "phase": np.array(["a", "b", "b", None], dtype=object),
    "formula": np.array(["ClNa", "MgO", "O2Ti", None], dtype=object),
    "seen": np.array([True, False, None, True], dtype=object),
    "metal": np.array([True, True, False, False]),
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
        ("seen", [0, 3]),
        ("not seen", [1]),
        ("seen == False", [1]),
        ("metal and not seen", [1]),
        ("not (metal and seen)", [1, 2, 3]),
        ("nothing", []),
        ("not nothing", []),
    ],
)
def test_what_is_not_known_fulfils_neither_a_condition_nor_its_opposite(condition, rows):
    assert np.flatnonzero(Condition.read(condition).of(COLUMNS, 4)).tolist() == rows


@pytest.mark.parametrize("name", ["gap", "phase", "formula"])
def test_only_what_is_yes_or_no_stands_alone(name):
    with pytest.raises(ValueError, match=f"has '{name}' alone, which is not yes or no: compare it"):
        Condition.read(f"metal and {name}").of(COLUMNS, 4)

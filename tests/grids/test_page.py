"""The page on grids: its code runs, exactly as it is printed."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "grids.md"


def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(text, PAGE.name, "exec"), names)
    assert names["X"].shape == (3, 27648)
    assert names["images"].shape == (3, 2, 24, 24, 24)
    assert np.shares_memory(names["X"], names["images"])
    np.testing.assert_allclose(names["atoms"], 1, rtol=1e-5)
    assert names["around"].shape == (3, 20, 20, 20)
    assert [positions.shape for positions in names["gradient"].positions] == [(2, 3)] * 3
    np.testing.assert_allclose(names["again"].integral(), 2, rtol=1e-5)
    assert names["rows"].shape == (2, 18)
    np.testing.assert_allclose(names["rows"][0], names["rows"][1], rtol=1e-4, atol=1e-5)

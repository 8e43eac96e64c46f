"""The page on distributions, patterns and statistics runs, and prints what it says."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "representations.md"


def test_the_code_of_the_page_runs(capsys):
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), scope)
    out = capsys.readouterr().out
    assert "2.164  density" in out
    assert "[[ 0.1909  0.5745 -0.0132]]" in out
    assert "(4,)" in out
    assert scope["lines"].two_theta[0] == pytest.approx(27.39, abs=0.01)
    assert abs((scope["unlike"].argmax() + 0.5) * 0.1 - 2.82) < 0.1
    assert abs((scope["angles"].argmax() + 0.5) * 5 - 90) < 5

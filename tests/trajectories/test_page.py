"""The page on trajectories: its code runs, exactly as it is printed."""

import re
import warnings
from pathlib import Path

import pytest
from scipy.integrate import trapezoid

PAGE = Path(__file__).parents[2] / "docs" / "trajectories.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("page"))
    found = {}
    # Elsewhere other roundings make another short run of the same liquid, in which fewer atoms may get away.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "displacements grow with time")
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
            exec(compile(text, PAGE.name, "exec"), found)
    yield found
    patch.undo()


@pytest.mark.slow
def test_the_page_does_what_it_says(names):
    assert names["trajectory"].n_frames == 200
    assert names["late"].n_frames == 100
    assert names["rows"].shape == (200, 50)
    assert names["smooth"].shape == (37, 2, 50)
    assert names["remembered"].shape == (51, 50)
    assert names["table"].shape == (36, 24)
    assert names["scores"].shape == (4,)
    # Real copper diffuses by 4e-5 cm²/s where it melts (1360 K); this has 3000 K, few atoms, and another thermostat.
    assert 1e-5 < names["found"].coefficient < 5e-4
    assert 0 < names["found"].error < 0.5 * names["found"].coefficient
    spectrum = names["spectrum"]
    modes = trapezoid(spectrum.density, spectrum.frequencies)
    assert modes == pytest.approx(96)
    assert names["low"] > 0.7

"""The layout holds: no circles of imports, and nothing imports what is built on it."""

import re
from pathlib import Path

import pytest
from helpers.imports import arrows, back_arrows, circles

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"

# From the bottom up: no room imports from one further down this list.
ROOMS = [
    "atomprint",
    "atomprint._core",
    "atomprint.util",
    "atomprint.ragged",
    "atomprint.chemistry.elements",
    "atomprint.chemistry.formula",
    "atomprint.formats",
    "atomprint.structures",
    "atomprint.chemistry",
    "atomprint.elements",
    "atomprint.neighbours",
    "atomprint.graph",
    "atomprint.layout",
    "atomprint.pooling",
    "atomprint.sampling",
    "atomprint.descriptors.engine",
    "atomprint.descriptors",
    "atomprint.kernels",
    "atomprint.datasets.target",
    "atomprint.datasets.failures",
    "atomprint.datasets.summary",
    "atomprint.datasets.dataset",
    "atomprint.datasets.files",
    "atomprint.datasets.public",
    "atomprint.datasets",
    "atomprint.learn.task",
    "atomprint.learn.splits",
    "atomprint.learn.estimators",
    "atomprint.learn.models",
    "atomprint.learn.evaluation",
    "atomprint.learn.study",
    "atomprint.learn",
    "atomprint.report",
    "atomprint.workflow.saved",
    "atomprint.workflow.recipes",
    "atomprint.workflow.runs",
    "atomprint.workflow",
    "atomprint.cli",
    "atomprint.testing",
]


def test_no_circles():
    assert circles(arrows(SOURCE)) == []


def test_no_arrow_runs_back_up():
    assert back_arrows(arrows(SOURCE), ROOMS) == []


@pytest.fixture
def planted(tmp_path):
    """Return a small package of three rooms, one of them with a circle hidden in a function."""
    for name, text in {
        "atomprint/__init__.py": "",
        "atomprint/util/__init__.py": "",
        "atomprint/util/first.py": "from atomprint.util import second\n",
        "atomprint/util/second.py": "def late():\n    from atomprint.util.first import second\n    return second\n",
        "atomprint/cli/__init__.py": "import atomprint.util.first\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_planted_circle_is_found(planted):
    assert circles(arrows(planted)) == [["atomprint.util.first", "atomprint.util.second"]]
    assert back_arrows(arrows(planted), ROOMS) == []


def test_a_planted_arrow_back_is_found(planted):
    (planted / "atomprint/util/third.py").write_text("from atomprint.cli import main\n")
    assert back_arrows(arrows(planted), ROOMS) == [("atomprint.util.third", "atomprint.cli")]


def test_contributing_draws_what_there_is():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.split("```")[1]
    assert len(drawing.splitlines()) <= 30
    folders = {path.name for path in (ROOT / "cpp").iterdir()} | {room.split(".")[1] for room in ROOMS[2:]}
    assert {name for name in folders if not re.search(rf"\b{name}\b", drawing)} == set()
    places = (ROOT, SOURCE / "atomprint", SOURCE / "atomprint" / "descriptors")
    for name in re.findall(r"`([\w/]+\.(?:py|cpp|hpp))`", text):
        assert any((place / name).is_file() for place in places), name

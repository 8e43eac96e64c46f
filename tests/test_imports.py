"""The layout holds: no circles of imports, and nothing imports what is built on it."""

import importlib
import re
import subprocess
import sys
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
    "atomprint.chemistry.smiles",
    "atomprint.formats",
    "atomprint.structures",
    "atomprint.chemistry",
    "atomprint.elements",
    "atomprint.viewing",
    "atomprint.neighbours",
    "atomprint.graphs",
    "atomprint.layout",
    "atomprint.pooling",
    "atomprint.sampling",
    "atomprint.descriptors.engine",
    "atomprint.descriptors",
    "atomprint.molecules",
    "atomprint.trajectories",
    "atomprint.grids",
    "atomprint.kernels",
    "atomprint.similarity",
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
    "atomprint.potentials.terms",
    "atomprint.potentials.labels",
    "atomprint.potentials.fitting",
    "atomprint.potentials.short_range",
    "atomprint.potentials.fitted",
    "atomprint.potentials",
    "atomprint.store",
    "atomprint.workflow.saved",
    "atomprint.workflow.recipes",
    "atomprint.workflow.runs",
    "atomprint.workflow",
    "atomprint.screening",
    "atomprint.service",
    "atomprint.cli",
    "atomprint.testing",
]

# What takes long to import or is not always there, and which of it public modules may import: to compute takes none.
HEAVY = [
    "ase.build",
    "ase.io",
    "fastapi",
    "gemmi",
    "ijson",
    "jax",
    "joblib",
    "matplotlib",
    "networkx",
    "optuna",
    "pandas",
    "pooch",
]
HEAVY += ["pyarrow", "pymatgen", "requests", "rich", "scipy", "shap", "skops", "sklearn", "spglib", "threadpoolctl"]
HEAVY += ["prometheus_client", "rdkit", "tomlkit", "torch", "typer", "uvicorn", "xgboost"]
PUBLIC = [
    "cli",
    "datasets",
    "descriptors",
    "elements",
    "graphs",
    "grids",
    "kernels",
    "learn",
    "molecules",
    "neighbours",
    "pooling",
    "potentials",
    "sampling",
    "screening",
    "service",
    "similarity",
]
PUBLIC += ["store", "structures", "testing", "trajectories", "viewing", "workflow"]
LEARNING = {"joblib", "pandas", "pyarrow", "rich", "scipy", "sklearn", "threadpoolctl"}  # some of them by scikit-learn
MAY_IMPORT = {
    "import " + ", ".join(f"atomprint.{name}" for name in PUBLIC): set(),
    "import atomprint.datasets.dataset": set(),
    "from atomprint.learn import evaluate, make_model": LEARNING,
    "from atomprint.workflow import load_model": LEARNING,
    "import atomprint.report": LEARNING,
    "from atomprint.cli import main; main()": {"rich", "typer"},
}
# A command that asks a model needs neither recipes nor reports, and loads no data.
MODEL = ROOT / "tests" / "workflow" / "saved" / "models" / "format-1.atomprint"
FOR_TRAINING = ["datasets.public", "learn.evaluation", "learn.study", "report", "workflow.recipes", "workflow.runs"]


def test_no_circles():
    assert circles(arrows(SOURCE)) == []


def test_no_arrow_runs_back_up():
    assert back_arrows(arrows(SOURCE), ROOMS) == []


def imported(code, *arguments):
    """Return which of the modules above a new Python imports."""
    known = [*HEAVY, *(f"atomprint.{name}" for name in FOR_TRAINING)]
    asked = f"import atexit, sys\natexit.register(lambda: print(*[name for name in {known} if name in sys.modules]))\n"
    done = subprocess.run([sys.executable, "-c", asked + code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", MAY_IMPORT)
def test_a_public_module_imports_no_more_than_it_may(code):
    assert imported(code, "--help") & set(HEAVY) <= MAY_IMPORT[code]


@pytest.mark.parametrize("command", ["info", "predict"])
def test_a_command_imports_no_more_than_it_uses(command, tmp_path):
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    arguments = (
        [command, str(MODEL)] if command == "info" else [command, str(tmp_path / "water.xyz"), "--model", str(MODEL)]
    )
    found = imported("from atomprint.cli import main; main()", *arguments)
    assert found <= LEARNING | {"ase.io", "rich", "skops", "typer"}


def test_every_public_module_says_what_it_may_import():
    public = {path.stem for path in (SOURCE / "atomprint").glob("*.py")} - {"__init__", "layout", "ragged"}
    doors = (SOURCE / "atomprint").glob("*/__init__.py")
    public |= {path.parent.name for path in doors if "__all__" in path.read_text(encoding="utf-8")}
    assert public <= {*PUBLIC, "report"}


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


@pytest.mark.parametrize(
    "package", ["datasets", "graphs", "grids", "learn", "potentials", "store", "trajectories", "workflow"]
)
def test_names_that_are_imported_when_asked_for_are_listed(package):
    found = importlib.import_module(f"atomprint.{package}")
    assert set(found.__all__) <= set(dir(found))
    assert all(getattr(found, name) is not None for name in found.__all__)

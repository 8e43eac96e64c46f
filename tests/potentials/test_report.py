"""Reports of potentials: figures are those of the errors, curves tell holes, and the page has what it must."""

import json
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from atomprint.descriptors import ACSF, MBTR
from atomprint.potentials import LabelledStructures, LinearPotential, read_labels
from atomprint.potentials.report import plots
from atomprint.potentials.report.comparison import Comparison, Figures, compare
from atomprint.potentials.report.curves import dimer_curves
from atomprint.potentials.report.page import PotentialReport
from atomprint.potentials.report.run import fit_potential
from atomprint.util.files import WholeFolder


def alloys(n, seed=0):
    """Return rattled cells of copper and gold with what EMT says of them."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.3 * rng.random())
        atoms.symbols[: rng.integers(0, 4)] = "Au"
        atoms.rattle(0.08, seed=seed + k)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["config_type"] = ["cold", "hot"][k % 2]
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def run():
    """Return a potential that was fitted with a test set, one structure of which was fitted to as well."""
    data = read_labels(alloys(20))
    radial = [[eta, shift] for eta, shift in ((0.05, 0), (0.2, 0), (2.0, 2.5), (2.0, 3.2))]
    potential = LinearPotential(ACSF(r_cut=5.0, g2_params=radial, periodic=True))
    return fit_potential(
        potential, data, {"test set": read_labels([*alloys(6, seed=50), alloys(1)[0]])}, title="Alloys", settings={}
    )


def test_figures_are_those_of_the_errors():
    structures = [bulk("Cu"), bulk("Cu", cubic=True)]
    labels = LabelledStructures.of(
        structures,
        energies=[1.0, 8.0],
        forces=[np.zeros((1, 3)), np.full((4, 3), np.nan)],
        stresses=[np.full(6, np.nan), np.zeros(6)],
        config_types=["a", "b"],
    )
    found = Comparison("test", labels, np.array([1.1, 8.8]), np.full((5, 3), 0.5), np.full((2, 3, 3), 0.01))
    figures = found.figures()
    assert figures["energy"].n == 2
    assert figures["energy"].mae == pytest.approx(150)  # meV/atom
    assert figures["energy"].rmse == pytest.approx(np.sqrt((100**2 + 200**2) / 2))
    assert figures["forces"] == (3, 0.5, 0.5, 0.5)
    assert figures["stress"].mae == pytest.approx(0.01 / GPa)
    assert set(found.by_kind()["a"]) == {"energy", "forces"}
    assert found.by_kind()["b"]["energy"].mae == pytest.approx(200)
    assert found.by_element() == {"Cu": {"forces": figures["forces"]}}
    assert found.worst(1)[0][:2] == (1, "energy")


def test_the_report_says_what_is_to_be_known(run, tmp_path):
    report = run.report
    assert [comparison.title for comparison in report.comparisons] == ["cross-validation", "test set"]
    assert any("1 structure of the test set is in the training data as well" in text for text in report.warnings)
    assert [curve.pair for curve in report.dimers] == [("Cu", "Cu"), ("Cu", "Au"), ("Au", "Au")]
    curve = report.dimers[0]
    pairs = [Atoms("Cu2", [[0, 0, 0], [0, 0, d]], cell=[30] * 3, pbc=True) for d in (curve.distances[100], 12.0)]
    near, far = run.potential.predict(pairs).energies
    assert curve.energies[100] == pytest.approx(near - far, abs=1e-9)
    assert len(report.volumes) > 0
    assert report.speed.microseconds > 0
    with WholeFolder(tmp_path / "out", own=("potential.npz",)) as folder:
        files = run.write(folder)
    assert set(files) == {"potential.npz", "report.html", "results.json"}
    found = json.loads(files["results.json"].read_text())
    assert found["training"]["n_structures"] == 20
    assert len(found["comparisons"]) == 2
    assert set(found["comparisons"][1]["by_config_type"]) == {"cold", "hot"}
    assert found["learning_curve"][0] == sorted(found["learning_curve"][0])
    page = files["report.html"].read_text()
    for words in (
        "Cross-validation",
        "Test set",
        "Learning curve",
        "Expected errors",
        "Reference energies",
        "µs an atom",
    ):
        assert words in page
    assert page.count("<img ") >= 8


def test_without_a_test_set_what_was_left_out_says_whether_expected_errors_are_right(run):
    alone = PotentialReport.of(run.potential, "Alloys")
    whose, shown = alone._expected()
    assert whose == "structures that were left out"
    assert {name: len(errors) for name, (errors, _) in shown.items()} == {"energy": 20, "forces": 240, "stress": 120}
    summary = run.potential.model_.summary
    errors, expected = shown["energy"]
    assert np.mean(np.abs(errors) < 1.645 * expected) == pytest.approx(summary["coverage"]["energies"])
    assert "% of the energies of 20 structures" in alone.html()
    assert run.report._expected()[0] == "test set"


def test_errors_of_a_comparison_are_expected_ones(run):
    found = compare(run.potential, read_labels(alloys(4, seed=90)), "new", most_rows=24)
    assert np.isfinite(found.values["energy"].std).all()
    assert 0 < np.isfinite(found.values["forces"].std).sum() <= 36
    assert isinstance(run.report, PotentialReport)


@pytest.mark.filterwarnings("ignore:no structure has a stress")
def test_potentials_without_a_cutoff_have_curves_too():
    dimers = [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2 + 0.1 * k]], cell=[14] * 3, pbc=True) for k in range(6)]
    grid = {"geometry": {"function": "inverse_distance"}, "grid": {"min": 0, "max": 1, "n": 8, "sigma": 0.1}}
    grid["weighting"] = {"function": "exp", "scale": 0.5, "threshold": 1e-3}
    labels = LabelledStructures.of(dimers, energies=np.linspace(0, 1, 6) ** 2)
    potential = LinearPotential(MBTR(**grid, normalization="none")).fit(labels)
    (curve,) = dimer_curves(potential, {})
    assert np.isfinite(curve.energies).all()
    assert curve.distances[-1] > 10


def test_numbers_at_bars_are_beside_the_line_of_all(run):
    pytest.importorskip("matplotlib")
    comparison = run.report.comparisons[0]
    whole = comparison.figures()["forces"].rmse
    made = {str(share): {"forces": Figures(1234, 0.0, share * whole, 0.0)} for share in (0.2, 0.9, 0.98, 1.1)}
    figure = plots.errors(made, comparison)
    figure.canvas.draw()
    axes = figure.axes[0]
    line = axes.transData.transform((whole, 0))[0]
    assert len(axes.texts) == 5
    for text in axes.texts[1:]:
        box = text.get_window_extent()
        assert not box.x0 <= line <= box.x1


def test_axes_of_little_more_than_a_decade_have_several_numbers():
    pytest.importorskip("matplotlib")
    figure = plots.learning_curve([10, 20], {"forces": [0.5, 0.012], "energy": [300.0, 200.0]})
    for axes in figure.axes:
        assert len(axes.get_yticks()) >= 3


@pytest.mark.parametrize("periodic", [True, False])
def test_two_atoms_are_in_a_cell_where_structures_are(periodic, monkeypatch):
    dimers = [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2 + 0.1 * k]], cell=[14] * 3, pbc=periodic) for k in range(6)]
    labels = LabelledStructures.of(dimers, energies=np.linspace(0, 1, 6) ** 2)
    potential = LinearPotential(ACSF(r_cut=4.0, g2_params=[[1, 2]]), repulsion=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential.fit(labels)
    seen = []
    monkeypatch.setattr(
        "atomprint.potentials.report.curves.dimer_energies",
        lambda *arguments, periodic: seen.append(periodic) or np.zeros(len(arguments[-1])),
    )
    PotentialReport.of(potential, "Copper")
    assert seen == [periodic]

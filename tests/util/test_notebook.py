"""What notebooks show of data sets, runs, models, predictions and potentials."""

from html.parser import HTMLParser

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from atomprint.datasets import read_dataset
from atomprint.potentials import LinearACE, read_labels
from atomprint.util.notebook import card
from atomprint.workflow import Recipe, train


class Page(HTMLParser):
    """Checks that elements are closed in their order, and keeps the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def cells_of(shown):
    return Page(shown._repr_html_()).cells


def test_a_card():
    text = card("a < b", [("x & y", "<script>"), ("empty", "")], ("n",), [("1",), ("2",)], n_rows=1002)
    assert Page(text).cells == ["x & y", "<script>", "n", "1", "2"]
    assert "<b>a &lt; b</b>" in text
    assert "1,000 more" in text
    assert "more" not in card("t", (), ("n",), [("1",)], n_rows=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "oxides.csv"
    rows = "\n".join(f"Fe{k + 1}O{1 + (7 * k) % 13},{k}" for k in range(24))
    path.write_text(f"formula,gap <eV>\n{rows}\n", encoding="utf-8")
    return path


def test_data_sets_runs_models_and_predictions(table):
    dataset = read_dataset(table, formula="formula", targets={"gap <eV>": "gap <eV>"})
    cells = cells_of(dataset)
    assert ": 24 compositions</b>" in dataset._repr_html_()
    assert {"gap <eV>", "FeO"} <= set(cells)
    run = train(
        Recipe.from_dict(
            {
                "data": {"path": str(table), "formula": "formula", "target": "gap <eV>"},
                "features": {"shares": {"type": "CompositionChannels", "channels": "species", "species": ["O", "Fe"]}},
                "models": {"ridge": {}},
                "evaluation": {"learning_curve": False, "n_repeats": 0},
                "n_jobs": 1,
            }
        )
    )
    cells = cells_of(run)
    row = next(row for row in run.study.rows if row.model == "ridge")
    assert str(row.evaluation.cross_validation["mae"]) in cells
    assert str(row.evaluation.test.metrics["mae"]) in cells
    cells = cells_of(run.model)
    assert "predicts" in cells
    assert any("24 compositions" in cell for cell in cells)
    predictions = run.model.predict(["FeO", "Fe2O3"])
    cells = cells_of(predictions)
    assert f"{predictions.values[1]:.4g}" in cells
    assert "warnings" in cells


def test_potentials():
    copper = [bulk("Cu", cubic=True) for _ in range(8)]
    for seed, atoms in enumerate(copper):
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
    labels = read_labels(copper)
    assert any("8 structures" in cell for cell in cells_of(labels))
    potential = LinearACE(size=20, r_cut=4.0, repulsion=False)
    assert "LinearACE" in potential._repr_html_()
    potential.fit(labels)
    assert "fitted to" in cells_of(potential)
    assert potential._repr_mimebundle_()["text/html"] == potential._repr_html_()
    prediction = potential.predict(copper[:2], uncertainty=True)
    cells = cells_of(prediction)
    assert f"{prediction.energies[1]:.4g}" in cells
    assert f"{np.linalg.norm(prediction.forces[1], axis=1).max():.4g}" in cells
    assert f"{potential.predict(copper[0]).energies:.4g}" in cells_of(potential.predict(copper[0]))

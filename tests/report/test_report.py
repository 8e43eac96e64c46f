import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from helpers.synthetic import make_problem, make_study

from atomprint.learn.task.metrics import METRICS, Metric
from atomprint.report import Report, versions
from atomprint.report.cards import ReportCard, dataset_card, model_card
from atomprint.report.html import Html, join, minus, sentence, table, tag
from atomprint.report.naming import as_shown
from atomprint.report.plots.style import robust_limits
from atomprint.report.quality import verdict
from atomprint.util.files import write_atomically

ONE = {"features": ("Magpie",), "models": ("Ridge",)}  # plots take time
CASES = {
    "regression": lambda: make_study(make_problem()),
    "folds only": lambda: make_study(make_problem(compositions=True), test=False, **ONE),
    "test only": lambda: make_study(make_problem(compositions=True), folds=0, curve=False, **ONE),
    "two classes": lambda: make_study(make_problem("classification", n=200), noise=3.0, models=("Ridge",)),
    "three classes": lambda: make_study(make_problem("classification", n=99, classes=3), test=False, noise=3.0, **ONE),
    "no probabilities": lambda: make_study(
        make_problem("classification", compositions=True), probabilities=False, uncertainty=False, **ONE
    ),
    "atoms": lambda: make_study(make_problem(level="atom", n=24), **ONE),
    "tiny": lambda: make_study(make_problem(n=10, compositions=True), **ONE),
}


class Page(HTMLParser):
    """Collect what a page refers to, and check that its tags close."""

    EMPTY = ("meta", "img", "link", "br", "hr", "input")

    def __init__(self, html):
        super().__init__()
        self.open, self.links, self.text, self.ids, self.headings = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        if tag == "img":
            assert attributes["alt"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col", "colgroup")
        assert tag != "script"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def make_report(*studies, **options):
    settings = {"command": "atomprint train recipe.toml", "seed": 0, "seconds": 1.5}
    return Report("A report", "What it is about.", studies, settings, **options)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    study = CASES[request.param]()
    html = make_report(study, recipe='[data]\nfile = "own.csv"').html()
    return study, html, Page(html)


def test_page_is_self_contained(case):
    _, html, page = case
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in page.links)
    assert "url(" not in html
    assert "@import" not in html
    assert len(html) < 5_000_000


def test_headings_and_links_lead_somewhere(case):
    _, _, page = case
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.headings[0] == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))  # no level is skipped


def test_undefined_figures_are_words(case):
    _, _, page = case
    text = " ".join(page.text)
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)


def test_page_has_every_figure_of_the_results(case):
    study, _, page = case
    text = "".join(page.text)
    for _, _, evaluation in study.evaluations():
        for name in METRICS[study.kind]:
            if evaluation.folds and evaluation.cross_validation[name].mean.value is not None:
                assert minus(str(as_shown(study, evaluation, name, evaluation.cross_validation[name]))) in text
            elif evaluation.folds:
                assert str(evaluation.cross_validation[name]) in text
            if evaluation.test is not None:
                assert minus(str(as_shown(study, evaluation, name, evaluation.test.metrics[name]))) in text
    trial, model = study.best()
    for part, fold in trial.evaluations[model].parts():
        assert part in text
        assert f"{len(fold.indices):,}" in text
    assert f"{len(study.split.train):,}" in text
    assert study.target.definition in text
    assert study.dataset.source in text
    assert "own.csv" in text
    for sentence_ in (*study.leakage_in_words(), *study.caveats()):
        assert sentence_ in text


def test_sections_that_fit_the_problem(case):
    study, _, page = case
    text = " ".join(page.text)
    assert ("Predicted and true classes" in text) == (study.kind == "classification")
    assert ("What leaderboards print" in text) == (study.kind == "classification")
    assert ("Learning curve" in text) == (study.learning_curve is not None)
    assert ("How far to trust a prediction" in text) == (study.uncertainty is not None)
    assert "lattice has no volume" in text
    assert "Model card" in text
    assert "Data-set card" in text


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = make_report(make_study(make_problem(n=50, compositions=True)), CASES["no probabilities"]())
    return report, folder, report.write(folder)


def test_four_files_and_nothing_else(written):
    _, folder, files = written
    assert sorted(files) == ["model-card.md", "predictions.csv", "report.html", "results.json"]
    assert sorted(item.name for item in folder.iterdir()) == sorted(files)


def test_results_and_predictions_agree(written):
    report, _, files = written
    results = json.loads(files["results.json"].read_text(encoding="utf-8"))
    assert results["versions"]["python"]
    assert len(results["studies"]) == 2
    with files["predictions.csv"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50 * 5 + 120 * 2
    study = report.studies[0]
    fold = study.trials[1].evaluations["ridge"].test
    errors = [
        abs(float(row["true"]) - float(row["predicted"]))
        for row in rows
        if (row["unit"], row["features"], row["model"], row["part"]) == ("eV/atom", "f1", "ridge", "test")
    ]
    assert sum(errors) / len(errors) == pytest.approx(fold.metrics["mae"].value)


def test_a_summary_links_to_each_study(written):
    _, _, files = written
    page = Page(files["report.html"].read_text(encoding="utf-8"))
    assert page.links.count("#study-1") == page.links.count("#study-2") == 2  # contents and summary


def test_files_are_replaced_whole_or_not_at_all(written, tmp_path, monkeypatch):
    report, *_ = written
    for name in ("report.html", "results.json"):
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(Report, "html", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        report.write(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert not [item.name for item in tmp_path.iterdir() if item.name.startswith(".")]


def test_an_interrupted_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("old")

    def broken():
        yield "a,b\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, broken())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["predictions.csv"]
    write_atomically(path, iter(["a", "b"]))
    assert path.read_text() == "ab"


def test_a_report_needs_a_study():
    with pytest.raises(ValueError, match="at least one study"):
        make_report()


def test_versions_name_what_is_used():
    assert {"python", "numpy", "scikit-learn", "ase", "matplotlib", "system"} <= set(versions())


# Hostile and unusual input --------------------------------------------------------------------------------------------

HOSTILE = "<script>alert('x')</script>\"&<!--"


def test_hostile_names_are_text():
    problem = make_problem(
        n=30,
        compositions=True,
        name=HOSTILE,
        title=HOSTILE,
        description=HOSTILE,
        source=HOSTILE,
        licence=HOSTILE,
        ids=tuple(f"{HOSTILE}{i}" for i in range(30)),
    )
    target = replace(problem.target, title=HOSTILE, unit=HOSTILE, definition=HOSTILE)
    problem.dataset.targets["target"] = target
    study = make_study(problem, features=(HOSTILE,), models=(HOSTILE,))
    report = replace(make_report(study, recipe=HOSTILE), title=HOSTILE, lead=HOSTILE, settings={HOSTILE: HOSTILE})
    html = report.html()
    assert "<script" not in html
    assert "<!--" not in html
    text = "".join(Page(html).text)
    assert text.count(HOSTILE) > 20
    assert "<script" not in report.cards().replace("\\<script", "")


@pytest.mark.usefixtures("plots_not_drawn")
def test_hostile_classes_are_text():
    problem = make_problem("classification", n=40, compositions=True)
    problem.dataset.targets["target"] = replace(problem.target, classes=("a", HOSTILE))
    html = make_report(make_study(problem, **ONE)).html()
    assert "<script" not in html
    Page(html)


@pytest.mark.usefixtures("plots_not_drawn")
def test_a_figure_that_is_undefined_is_explained_in_a_footnote():
    study = make_study(make_problem(n=10, compositions=True), **ONE)  # folds of one sample
    text = "".join(Page(make_report(study).html()).text)
    assert "undefineda" in text  # the mark of the footnote
    assert "R² needs at least 2 test samples, got 1" in text


def test_a_model_that_learnt_nothing_is_called_so():
    study = make_study(make_problem(), noise=9.0)
    assert "nothing was learnt" in verdict(study)
    assert "nothing was learnt" not in verdict(make_study(make_problem()))


def test_close_models_are_said_to_be_close():
    study = make_study(make_problem(), features=("A",), models=("B", "C"))
    best, other = study.trials[0].evaluations.values()
    same = replace(study.trials[0], evaluations={"b": best, "c": best})
    assert "may be chance" in verdict(replace(study, trials=[same]))
    assert other is not best


def test_a_verdict_without_a_figure_says_why():
    study = make_study(make_problem(n=30), folds=0, curve=False, features=("A",), models=("B",))
    fold = study.trials[0].evaluations["b"].test
    metrics = replace(fold.metrics, values={**fold.metrics.values, "mae": Metric(None, "it was not asked for")})
    evaluation = replace(study.trials[0].evaluations["b"], test=replace(fold, metrics=metrics))
    trial = replace(study.trials[0], evaluations={"b": evaluation})
    assert verdict(replace(study, trials=[trial])).endswith("How good it is cannot be said: it was not asked for.")


@pytest.mark.usefixtures("plots_not_drawn")
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_choice_within_training_parts_is_what_to_judge_by(kind):
    study = make_study(make_problem(kind), test=False, noise=1.2)
    text = "".join(Page(make_report(study).html()).text)
    assert "Chosen within each training part (most often Composition, ridge)" in text
    assert "The rows of single models are for information only" in text
    assert "picked" not in text
    name = next(iter(METRICS[kind]))
    own = str(study.chosen.cross_validation[name])
    assert own != str(study.trials[0].evaluations["ridge"].cross_validation[name])
    assert own in verdict(study)
    assert "had no part in the choice among 4: features and model were chosen by a figure made up" in verdict(study)
    for features, model in study.choice.winners:
        assert f"{study.titles_of(features, model)[0]}, {study.models[model].lower()}" in text
    assert "Chosen within each training part" not in "".join(
        Page(make_report(make_study(make_problem(kind))).html()).text
    )
    card = model_card(study, versions()).markdown()
    assert "Features and model are those chosen for 4 of 5 folds" in card
    assert own in card


@pytest.mark.usefixtures("plots_not_drawn")
def test_titles_keep_their_capitals():
    problem = make_problem()
    for title, inside in (("Gap in eV from the HOMO", "gap in eV from the HOMO"), ("HOMO energy", "HOMO energy")):
        target = replace(problem.target, title=title)
        study = make_study(replace(problem, dataset=replace(problem.dataset, targets={"target": target})))
        text = make_report(study).html() + make_report(study).cards()
        assert inside in text
        for wrong in (title.lower(), "hOMO"):
            assert wrong not in text


def test_large_data_make_a_small_page():
    study = make_study(make_problem(n=12_000, compositions=True), features=("A",), models=("B",))
    html = make_report(study).html()
    assert len(html) < 2_000_000
    assert "12,000" in html


# Cards ----------------------------------------------------------------------------------------------------------------


def test_model_card_says_what_a_user_must_know():
    study = CASES["regression"]()
    text = model_card(study, versions()).markdown()
    assert text.startswith("# Model card: ")
    for heading in ("Intended use", "Training data", "Evaluation data", "Metrics", "Results", "Limits and caveats"):
        assert f"\n## {heading}\n" in text
    assert "Ethical considerations" in text
    assert "eV/atom" in text
    assert f"MAE {study.trials[0].evaluations['ridge'].test.metrics['mae']} eV/atom" in text
    assert "Sr" in text
    assert "CC0" in text
    assert len(set(text.splitlines())) >= len([line for line in text.splitlines() if line])  # nothing is said twice


def test_model_card_tells_the_fits_that_were_judged_from_the_model_that_was_saved():
    study = CASES["regression"]()
    n = len(study.split.train)
    card = make_report(study, saved_model="The saved model was fitted anew to all samples.").cards()
    assert f"The results below are of models fitted to {n} samples" in card
    assert "- The saved model was fitted anew to all samples." in card
    assert "saved model" not in make_report(study).cards()


def test_data_set_card_says_what_is_not_known():
    study = make_study(make_problem(licence="", failures=()))
    text = dataset_card(study).markdown()
    assert "not known to the program" in text
    assert "No row of the source was left out" in text
    assert "CC0" not in text


def test_cards_are_safe_markdown():
    text = ReportCard("a\nb", {"Heading": ["*x* [y](z) `c` <i> | \\ # _d_", "line\nbreak"]}).markdown()
    assert text.splitlines()[0] == "# a b"
    assert "- \\*x\\* \\[y\\](z) \\`c\\` \\<i\\> \\| \\\\ \\# \\_d\\_" in text
    assert "- line break" in text


# Building blocks ----------------------------------------------------------------------------------------------------


def test_text_is_escaped_and_html_is_not():
    assert tag("p", "<b>", Html("<br>"), None, ["&", tag("i", "x")]) == "<p>&lt;b&gt;<br>&amp;<i>x</i></p>"
    assert tag("a", "x", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;">x</a>'
    assert join([None, "a"]) == "a"


def test_tables_align_numbers():
    html = table(("a", "b", "c"), [("x", "1", "y")], numeric_from=1, numeric_until=2, caption="what")
    assert '<td>x</td><td class="n">1</td><td>y</td>' in html
    assert "<caption><span>what</span></caption>" in html
    Page(html)
    Page(table((), [("name", "value")]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1.5 ± 0.2", "−1.5 ± 0.2"),
        ("scikit-learn 1.6", "scikit-learn 1.6"),
        ("1e-07", "1e-07"),
        ("-0.5 to -2", "−0.5 to −2"),
    ],
)
def test_only_numbers_get_a_minus_sign(text, expected):
    assert minus(text) == expected


def test_sentences():
    assert sentence("split conformal ") == "Split conformal."
    assert sentence("Done.") == "Done."
    assert sentence("") == ""


@pytest.mark.usefixtures("plots_not_drawn")
def test_structures_in_place_of_features_have_no_columns():
    study = make_study(make_problem(n=20), **ONE)
    trial = study.trials[0]
    features = replace(trial.features, values=study.dataset.structures, names=())
    html = make_report(replace(study, trials=[replace(trial, features=features)], learning_curve=None)).html()
    assert '<td>numbers of a kind</td><td class="n">20</td>' in html


@pytest.mark.usefixtures("plots_not_drawn")
def test_many_folds_are_summed_up():
    study = make_study(make_problem(n=60, compositions=True), folds=20, **ONE)
    text = " ".join(Page(make_report(study).html()).text)
    assert "20 folds" in text
    assert "5 more folds are in results.json" in text


def test_a_wild_target_is_named_wherever_it_is():
    problem = make_problem(n=60, compositions=True)
    study = make_study(problem, **ONE)
    sample = int(study.split.train[3])  # in the folds, not in the test part
    problem.y[sample] = -99
    html = make_report(study).html()
    text = " ".join(Page(html).text)
    assert "1 value is far from all others of target, which are" in text
    worst = html[html.index("Worst predictions") :]
    assert "folds and test part" in worst[:200]
    assert worst.index(f"sample-{sample}<") < 1200  # at the top of the table
    (found,) = study.to_dict()["wild_targets"]
    assert (found["id"], found["value"]) == (f"sample-{sample}", -99)
    low, high = robust_limits(problem.y, problem.y)
    assert low > -20
    assert high < 20

"""One HTML page with everything in it, and the same results for machines beside it."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from atomprint.learn import plots
from atomprint.learn.metrics import Metric, Spread, format_number
from atomprint.learn.models import MODELS
from atomprint.learn.study import Study, Trial

_PACKAGES = ("atomprint", "numpy", "scipy", "scikit-learn", "ase", "matplotlib")


@dataclass(frozen=True, eq=False)
class Report:
    """Studies and the circumstances in which they were made.

    Parameters
    ----------
    title : str
        Heading of the page.
    lead : str
        A few sentences below it.
    studies : sequence of Study
        The results.
    settings : mapping of str to str
        What somebody needs to repeat this: command, seed, threads, time.
    """

    title: str
    lead: str
    studies: Sequence[Study]
    settings: Mapping[str, Any]

    def write(self, folder: str | os.PathLike[str]) -> dict[str, Path]:
        """Write ``report.html``, ``results.json`` and ``predictions.csv`` to a folder.

        Each file is complete before it gets its name: nobody ever sees half of one.

        Parameters
        ----------
        folder : path
            Made if it is not there; files of these names in it are replaced.

        Returns
        -------
        dict of str to Path
            The three files by name.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "predictions.csv": self._csv(),
            "results.json": json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n",
            "report.html": self._html(),
        }
        for name, text in texts.items():
            write_atomically(folder / name, text)
        return {name: folder / name for name in texts}

    def to_dict(self) -> dict[str, Any]:
        """Return all results in plain types, for JSON."""
        return {
            "title": self.title,
            "versions": versions(),
            "settings": dict(self.settings),
            "studies": [study.to_dict() for study in self.studies],
        }

    def _csv(self) -> str:
        rows = [row for study in self.studies for row in study.predictions()]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()

    def _html(self) -> str:
        sections = "".join(_study(study, number) for number, study in enumerate(self.studies, 1))
        settings = {**self.settings, **{f"version of {k}": v for k, v in versions().items()}}
        return _PAGE.format(
            title=escape(self.title),
            style=_STYLE,
            lead=escape(self.lead),
            summary=_summary(self.studies),
            reading=_READING,
            models="".join(
                f"<dt>{escape(spec.title)}</dt><dd>{escape(spec.description)}.</dd>" for spec in MODELS.values()
            ),
            sections=sections,
            settings=_table(("", ""), [(escape(k), escape(str(v))) for k, v in settings.items()], header=False),
        )


def write_atomically(path: Path, text: str) -> None:
    """Write a file under a temporary name beside it, and rename it when it is complete."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # as any new file; mkstemp makes private ones
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# The page -------------------------------------------------------------------------------------------------------


def _summary(studies: Sequence[Study]) -> str:
    rows = []
    for number, study in enumerate(studies, 1):
        trial, model = study.best()
        evaluation = trial.evaluations[model]
        cv, unit = evaluation.cross_validation, escape(study.target.unit)
        rows.append(
            (
                f'<a href="#study-{number}">{escape(study.title)}</a>',
                str(len(study.dataset)),
                f"{escape(trial.features.title)}, {escape(MODELS[model].title.lower())}",
                unit,
                _figure_of(study.baseline.cross_validation["mae"]),
                _figure_of(cv["mae"]),
                _figure_of(evaluation.test.metrics["mae"]),
                _figure_of(evaluation.test.metrics["r2"]),
            )
        )
    headers = (
        "",
        "structures",
        "best in cross-validation",
        "unit",
        "MAE, baseline",
        "MAE, folds",
        "MAE, test",
        "R², test",
    )
    return _table(headers, rows, numeric_from=4)


def _study(study: Study, number: int) -> str:
    target = study.target
    split = study.split
    figure = plots.histogram(study)
    parts = [
        f'<section id="study-{number}"><h2>{number}. {escape(study.title)}</h2>',
        f'<div class="intro"><div><p>{escape(study.dataset.description)}</p>',
        f"<p><b>{escape(target.title)}</b> ({escape(target.unit)}). {escape(target.definition)}</p>",
        f"<p>{escape(study.question)}</p>" if study.question else "",
        f"</div>{_image(figure, f'Distribution of {target.title.lower()}')}</div>",
        f'<p class="source">Source: {escape(study.dataset.source)}</p>',
        *(f'<p class="caveat">{escape(text)}</p>' for text in study.caveats()),
        "<h3>Features</h3>",
        "<p>What the models are given: one row of numbers for each structure. Features are made from structures alone; "
        "they know nothing of the target. Times are those of this run.</p>",
        _features_table(study.trials),
        "<h3>How good the models are</h3>",
        f"<p>{_verdict(study)}</p>",
        _image(plots.comparison(study), "Mean absolute errors of all models"),
        _metrics_table(study),
        f"<p class='note'>Cross-validation: mean ± standard deviation over {len(split.folds)} folds of the "
        f"{len(split.train)} training structures. Test: one figure for {len(split.test)} structures set aside, "
        "predicted by a model fitted to the whole training part. The best figure of each column is in bold.</p>",
        "<h3>Predicted against true</h3>",
        "<p>On the diagonal a prediction is exact. Every structure is predicted by a model that has not seen it.</p>",
        '<div class="gallery">',
        *(
            f"<figure>{_image(plots.parity(target.values, trial.evaluations, target), 'Parity plot')}"
            f"<figcaption>{escape(trial.features.title)}</figcaption></figure>"
            for trial in study.trials
        ),
        "</div>",
        _worst(study),
        "<h3>What the models rely on</h3>",
        "<p>Bars: how much the mean absolute error on the test part grows when a group of features is scrambled among "
        "the structures, for the better model of each set of features; lines: spread over repeats. Groups overlap, and "
        "what one group says another may say too, so that bars do not add up. Lists: the single features that a "
        "random forest uses most (share of the variance that its splits remove). Radial channel 1 is the closest to "
        "the atom, the last one reaches out to the cutoff; l counts angular detail. Numbered element channels mix "
        "elements and have no meaning of their own. Rows of a matrix are sorted by norm: row 0 is the atom with the "
        "strongest repulsion.</p>",
        *(_importance(trial, study) for trial in study.trials),
        "</section>",
    ]
    return "".join(parts)


def _features_table(trials: Sequence[Trial]) -> str:
    rows = []
    for trial in trials:
        features = trial.features
        n, width = features.values.shape
        rows.append(
            (
                f"<b>{escape(features.title)}</b>",
                escape(features.description),
                f"{n} × {width}",
                f"{_duration(features.seconds)}",
            )
        )
    return _table(("features", "what they are", "shape", "time"), rows, numeric_from=2)


def _metrics_table(study: Study) -> str:
    names = ("mae", "rmse", "r2")
    unit = escape(study.target.unit)
    entries = [
        ("", "dummy", study.baseline),
        *(
            ("" if k else trial.features.title, model, evaluation)
            for trial in study.trials
            for k, (model, evaluation) in enumerate(trial.evaluations.items())
        ),
    ]
    columns: list[Sequence[Spread | Metric]] = [
        *(tuple(evaluation.cross_validation[name] for *_, evaluation in entries) for name in names),
        *(tuple(evaluation.test.metrics[name] for *_, evaluation in entries) for name in names),
    ]
    best = [_best_row(column, largest=name == "r2") for column, name in zip(columns, names * 2, strict=True)]
    rows = []
    for row, (features, model, _) in enumerate(entries):
        cells = [
            f"<b>{_figure_of(column[row])}</b>" if row == winner else _figure_of(column[row])
            for column, winner in zip(columns, best, strict=True)
        ]
        rows.append((escape(features), escape(MODELS[model].title), *cells))
    headers = ("features", "model", f"MAE ({unit})", f"RMSE ({unit})", "R²", "MAE", "RMSE", "R²")
    return _table(headers, rows, numeric_from=2, spans=(("", 2), ("cross-validation", 3), ("test", 3)))


def _verdict(study: Study) -> str:
    trial, model = study.best()
    evaluation, unit = trial.evaluations[model], escape(study.target.unit)
    mae = evaluation.cross_validation["mae"].mean.value
    text = (
        f"Best in cross-validation: <b>{escape(trial.features.title)} with {escape(MODELS[model].title.lower())}</b>, "
        f"with a mean absolute error of {_figure_of(evaluation.cross_validation['mae'])} {unit}"
    )
    n_models = sum(len(trial.evaluations) for trial in study.trials)
    base = study.baseline.cross_validation["mae"].mean.value
    if mae and base:
        text += f"; always predicting the mean gives {format_number(base)} {unit}, " + (
            f"{base / mae:.1f} times as much" if base > mae else "which is better: nothing was learnt"
        )
    return (
        f"{text}. It was picked as the best of {n_models}, which flatters that figure a little; the test part is the "
        f"judge: there it errs by {_figure_of(evaluation.test.metrics['mae'])} {unit}. A difference between two models "
        "that is much smaller than the spread over folds may be chance."
    )


def _worst(study: Study, n: int = 5) -> str:
    trial, model = study.best()
    test = trial.evaluations[model].test
    truth = study.target.values[test.indices]
    order = np.argsort(-np.abs(test.y_pred - truth), kind="stable")[:n]
    rows = [
        (
            escape(study.dataset.ids[test.indices[i]]),
            _minus(format_number(truth[i])),
            _minus(format_number(test.y_pred[i])),
            _minus(("+" if test.y_pred[i] > truth[i] else "") + format_number(test.y_pred[i] - truth[i])),
        )
        for i in order
    ]
    return (
        f"<p>The largest errors on the test part ({escape(trial.features.title)}, "
        f"{escape(MODELS[model].title.lower())}), in {escape(study.target.unit)}:</p>"
        + _table(("structure", "true", "predicted", "error"), rows, numeric_from=1)
    )


def _importance(trial: Trial, study: Study) -> str:
    figure = plots.importance(trial, study.target)
    head = f"{escape(trial.features.title)} <span>({escape(MODELS[trial.best].title.lower())})</span>"
    listed = "".join(f"<li><code>{escape(name)}</code>&ensp;{100 * share:.1f} %</li>" for name, share in trial.top[:10])
    return (
        f'<div class="importance"><h4>{head}</h4><div>{_image(figure, "Importance of groups of features")}'
        f"<ol>{listed}</ol></div></div>"
    )


def _best_row(column: Sequence[Spread | Metric], largest: bool) -> int:
    values = [item.mean.value if isinstance(item, Spread) else item.value for item in column]
    scores = [-np.inf if v is None else v if largest else -v for v in values]
    return int(np.argmax(scores))


def _figure_of(item: Spread | Metric) -> str:
    undefined = item.mean.value is None if isinstance(item, Spread) else item.value is None
    return f'<span class="words">{escape(str(item))}</span>' if undefined else escape(_minus(str(item)))


def _minus(number: str) -> str:
    """Return a number with a proper minus sign."""
    return number.replace("-", "−")


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.1f} ms"


def _image(figure: Any, alt: str) -> str:
    width, height = figure.get_size_inches() * 96
    return f'<img src="{plots.data_uri(figure)}" alt="{escape(alt)}" width="{width:.0f}" height="{height:.0f}">'


def _table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric_from: int = 99,
    spans: Sequence[tuple[str, int]] = (),
    header: bool = True,
) -> str:
    """Return a table; cells are HTML already. Columns from ``numeric_from`` on are aligned to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="n">{cell}</{tag}>' if column >= numeric_from else f"<{tag}>{cell}</{tag}>"
            for column, cell in enumerate(row)
        )

    top = "".join(f'<th colspan="{width}">{text}</th>' for text, width in spans)
    head = (f'<tr class="span">{top}</tr>' if spans else "") + f"<tr>{cells('th', headers)}</tr>"
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="table"><table>{f"<thead>{head}</thead>" if header else ""}<tbody>{body}</tbody></table></div>'


_READING = (
    "<p><b>MAE</b> is the mean absolute error, <b>RMSE</b> the root mean square error, which weighs large errors more; "
    "both have the unit of the target. <b>R²</b> is 1 for perfect predictions and 0 for predictions that are no "
    "better than the mean of the targets at hand; it can be negative. <b>Folds</b>: the training part is cut into "
    "parts, each predicted by a model fitted to the others. <b>Test</b>: structures set aside at the start, predicted "
    "once. Whatever models learn, hyperparameters included, they learn from the structures they are fitted to. "
    "Parameters of descriptors are fixed; they were chosen by hand with an eye on these data, which may flatter the "
    "figures a little.</p>"
)

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #616e7c; --line: #dfe3e8; --accent: #1f5f99; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 62rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; margin: 3.2rem 0 .8rem; padding-top: 1.2rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.08rem; margin: 2rem 0 .4rem; }
h4 { font-size: .95rem; margin: 0 0 .2rem; }
h4 span { font-weight: normal; color: var(--faint); }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--accent); }
.lead { font-size: 1.08rem; color: var(--faint); }
.source, .note { font-size: .85rem; color: var(--faint); }
.caveat { font-size: .92rem; padding: .45rem .8rem; background: #fdf6e7; border-left: 3px solid #d99a1c; }
.words { font-size: .85em; color: var(--faint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0; }
.table { overflow-x: auto; margin: .7rem 0 1rem; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--faint); vertical-align: bottom; }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
.span th { border: 0; padding-bottom: 0; text-align: center; }
.n { text-align: right; white-space: nowrap; }
img { max-width: 100%; height: auto; display: block; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: .88rem; font-weight: 600; }
.intro { display: flex; gap: 1.5rem; align-items: flex-start; }
.intro > div { flex: 1; }
.gallery { display: flex; flex-wrap: wrap; gap: 1.2rem 2rem; margin: .8rem 0; }
.gallery figure { display: flex; flex-direction: column-reverse; justify-content: flex-end; flex: 0 1 27rem; }
.importance { margin: 1rem 0 1.6rem; break-inside: avoid; }
.importance > div { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: center; }
.importance ol { flex: 1 1 22rem; columns: 20rem; column-gap: 2rem; font-size: .82rem; margin: 0;
  padding-left: 1.8rem; }
.importance img { flex: 0 0 auto; }
code { font: .95em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { margin-top: 3rem; border-top: 2px solid var(--ink); }
@media (max-width: 44rem) { .intro { display: block; } dl { display: block; } }
@page { margin: 16mm 14mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  .table { overflow: visible; } table { font-size: 8pt; } th, td { padding-right: .6rem; }
  .gallery figure { flex: 0 1 46%; } .importance ol { columns: 14rem; }
  h2 { break-before: page; border: 0; } h2, h3, h4 { break-after: avoid; }
  tr, .caveat, img { break-inside: avoid; } a { color: inherit; text-decoration: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p class="lead">{lead}</p></header>
<main>
{summary}
<h3>How to read this</h3>
{reading}
<dl>{models}</dl>
{sections}
</main>
<footer><h3>How this was made</h3>
<p>All figures for each fold, the hyperparameters chosen in it, and the parameters of all descriptors are in
<code>results.json</code>, every single prediction is in <code>predictions.csv</code>, both beside this file.</p>
{settings}</footer>
</body>
</html>
"""

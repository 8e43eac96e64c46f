"""Plots of a study, as figures of matplotlib that need no display."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atomprint.learn.importance import GroupImportance
from atomprint.learn.metrics import Metric
from atomprint.learn.models import MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from atomprint.datasets import Target
    from atomprint.learn.evaluate import Evaluation
    from atomprint.learn.study import Study, Trial

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS: Mapping[str, str] = {"kernel_ridge": "#1f5f99", "random_forest": "#b4570f"}
_MARKERS: Mapping[str, str] = {"kernel_ridge": "o", "random_forest": "D"}
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "atomprint",
}


def parity(
    y: npt.NDArray[np.float64], evaluations: Mapping[str, Evaluation], target: Target, title: str = ""
) -> Figure:
    """Plot predicted against true values, one panel for each model.

    Open marks are predictions of the cross-validation, each from the fold in which the sample was held out; filled
    marks are the test part.
    """
    models = list(evaluations)
    with _figure(2.15 * len(models) + 0.3, 2.65) as figure:
        axes = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        everything = [y, *(f.y_pred for m in models for f in (*evaluations[m].folds, evaluations[m].test))]
        low, high = min(v.min() for v in everything), max(v.max() for v in everything)
        margin = 0.04 * ((high - low) or 1)
        limits = (low - margin, high + margin)
        for ax, name in zip(axes, models, strict=True):
            evaluation = evaluations[name]
            ax.plot(limits, limits, color=FAINT, lw=0.8, zorder=1)
            folds = evaluation.folds
            if folds:
                index = np.concatenate([fold.indices for fold in folds])
                guess = np.concatenate([fold.y_pred for fold in folds])
                ax.scatter(
                    y[index], guess, s=16, facecolor="none", edgecolor=COLOURS[name], lw=0.8, alpha=0.75,
                    label="cross-validation", zorder=2,
                )  # fmt: skip
            test = evaluation.test
            ax.scatter(
                y[test.indices], test.y_pred, s=18, color=COLOURS[name], edgecolor="white", lw=0.5, label="test",
                zorder=3,
            )  # fmt: skip
            ax.set(xlim=limits, ylim=limits, box_aspect=1)
            ax.set_title(MODELS[name].title, color=COLOURS[name])
            ax.set_xlabel(f"true ({target.unit})")
            ax.xaxis.set_major_locator(_locator())
            ax.yaxis.set_major_locator(_locator())
            ax.legend(loc="upper left", fontsize=8, handletextpad=0.2, borderaxespad=0.1)
        axes[0].set_ylabel(f"predicted ({target.unit})")
        if title:
            figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def comparison(study: Study) -> Figure:
    """Plot the mean absolute error of each model on each set of features, with its spread over folds."""
    trials = study.trials
    models = list(trials[0].evaluations)
    with _figure(6.6, 0.55 * len(trials) + 0.85) as figure:
        ax = figure.subplots()
        error = _value(study.baseline.cross_validation["mae"].mean)
        ax.axvline(error, color=FAINT, lw=1, ls=(0, (4, 3)))
        ax.annotate(
            MODELS["dummy"].title, (error, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color=FAINT,
        )  # fmt: skip
        for k, name in enumerate(models):
            shift = 0.26 * (k - (len(models) - 1) / 2)
            rows = np.arange(len(trials)) + shift
            spreads = [trial.evaluations[name].cross_validation["mae"] for trial in trials]
            tests = [_value(trial.evaluations[name].test.metrics["mae"]) for trial in trials]
            ax.errorbar(
                [_value(s.mean) for s in spreads], rows, xerr=[_value(s.std) for s in spreads], fmt=_MARKERS[name],
                ms=5, lw=1.2, capsize=2.5, color=COLOURS[name], label=f"{MODELS[name].title}",
            )  # fmt: skip
            ax.plot(tests, rows, "|", ms=9, mew=1.6, color=COLOURS[name], alpha=0.75)
        ax.plot([], [], "|", ms=9, mew=1.6, color=INK, label="on the test part")
        ax.set_yticks(range(len(trials)), [trial.features.title for trial in trials])
        ax.set_ylim(len(trials) - 0.5, -0.5)
        ax.set_xlim(left=0)
        ax.set_xlabel(f"mean absolute error ({study.target.unit}), mean ± spread over folds")
        ax.grid(axis="x", color=GRID, lw=0.7)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, handletextpad=0.3)
    return figure


def importance(trial: Trial, target: Target, n_largest: int = 10) -> Figure:
    """Plot what scrambling each group of features costs, one panel for each way to group them."""
    panels = {
        kind: sorted(groups, key=lambda group: group.label)
        if len(groups) <= n_largest and all(group.label[-1].isdigit() for group in groups)  # n = 1, n = 2 …
        else groups[:n_largest]
        for kind, groups in trial.importance.items()
    }
    rows = max(len(groups) for groups in panels.values())
    labels = [0.075 * max(len(group.label) for group in groups) for groups in panels.values()]  # inches
    widths = [1.75 + label for label in labels]
    with _figure(max(sum(widths) + 0.2, 3.6), 0.19 * rows + 0.8) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for ax, (kind, groups) in zip(axes, panels.items(), strict=True):
            _bars(ax, groups, COLOURS[trial.best], rows)
            total = len(trial.importance[kind])
            shown = "" if len(groups) == total else f" ({len(groups)} of {total})"
            ax.set_title(kind + shown, fontsize=9, x=0)
        figure.supxlabel(f"increase of the mean absolute error ({target.unit})", fontsize=9)
    return figure


def histogram(study: Study) -> Figure:
    """Plot how the target is distributed over the training and the test part."""
    y, split = study.target.values, study.split
    with _figure(3.4, 1.75) as figure:
        ax = figure.subplots()
        ax.hist(
            [y[split.train], y[split.test]], bins=24, stacked=True, color=["#9fb3c8", "#243b53"],
            label=[f"training ({len(split.train)})", f"test ({len(split.test)})"],
        )  # fmt: skip
        ax.set_xlabel(f"{study.target.title.lower()} ({study.target.unit})")
        ax.set_ylabel("structures")
        ax.legend(fontsize=8)
    return figure


def data_uri(figure: Figure) -> str:
    """Return a figure as an SVG in a ``data:`` URI, which needs no file beside the page."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of a size in inches, with the style of all plots while it is being drawn."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _bars(ax: Any, groups: Sequence[GroupImportance], colour: str, rows: int) -> None:
    places = np.arange(len(groups))
    means = np.array([group.mean for group in groups])
    ax.barh(places, means, height=0.72, color=colour, alpha=0.85)
    ax.errorbar(means, places, xerr=[group.std for group in groups], fmt="none", ecolor=INK, elinewidth=0.7)
    ax.axvline(0, color=FAINT, lw=0.7)
    ax.set_yticks(places, [group.label for group in groups])
    ax.set_ylim(rows - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(_locator(4))


def _value(metric: Metric) -> float:
    return np.nan if metric.value is None else metric.value


def _locator(n: int = 5) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n, steps=[1, 2, 2.5, 5, 10])

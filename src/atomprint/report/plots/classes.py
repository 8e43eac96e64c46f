"""Plots for classification: what is taken for what, and what a threshold on the probability buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atomprint.learn.task.metrics import format_number
from atomprint.report.plots import style
from atomprint.util.types import Array, FloatArray, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_CLASSES = 12  # beyond, a confusion matrix has no room for numbers
_MAX_POINTS = 400  # of a curve


def confusion(panels: Mapping[str, tuple[Array, Array]], classes: Sequence[str], target: str) -> Figure:
    """Plot confusion matrices: numbers of samples, coloured by their share of the true class.

    Parameters
    ----------
    panels : mapping of str to (ndarray, ndarray)
        True and predicted indices of classes, by the title of a panel.
    classes : sequence of str
        Names of the classes.
    target : str
        The property, for the axes.
    """
    n = len(classes)
    names = [style.shorten(name, 16) for name in classes]
    side = max(1.7, 0.42 * min(n, 20) + 0.4)
    turned = n > 3 or max(map(len, names)) > 9
    with style.figure((side + 1.2) * len(panels) + 0.7, side + (1.3 if turned else 0.9)) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for ax, (title, (truth, guess)) in zip(axes, panels.items(), strict=True):
            counts = np.zeros((n, n), dtype=int)
            np.add.at(counts, (truth.astype(int), guess.astype(int)), 1)
            total = counts.sum(axis=1, keepdims=True)
            share = np.divide(counts, total, out=np.zeros((n, n)), where=total > 0)
            picture = ax.imshow(share, vmin=0, vmax=1, cmap=style.colours(0.0))
            if n <= _MAX_CLASSES:
                for i, j in np.ndindex(n, n):
                    ink = "#ffffff" if share[i, j] > 0.55 else style.INK
                    percent = f"\n{100 * share[i, j]:.0f} %" if n <= 4 and total[i] else ""
                    ax.text(j, i, f"{counts[i, j]:,}{percent}", ha="center", va="center", fontsize=8, color=ink)
            ax.set_xticks(range(n), names, rotation=45 if turned else 0, ha="right" if turned else "center",
                          rotation_mode="anchor" if turned else "default")  # fmt: skip
            ax.set_yticks(range(n), names)
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
            ax.set_title(f"{title} ({len(truth):,})")
            ax.set_xlabel(f"predicted {target}")
        axes[0].set_ylabel(f"true {target}")
        bar = figure.colorbar(picture, ax=axes[-1], shrink=0.9, label="share of the true class")
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2, labelsize=8)
    return figure


def discrimination(
    curves: Mapping[str, tuple[Mask, FloatArray]], looks: Mapping[str, style.Look], positive: str
) -> Figure:
    """Plot ROC curves and precision-recall curves.

    Parameters
    ----------
    curves : mapping of str to (ndarray of bool, ndarray of float64)
        Whether each sample belongs to the class, and the probability that it was given, by the label of a curve.
    looks : mapping of str to Look
        Colours by the label of a curve.
    positive : str
        The class, or "each class" for one curve for each, against the rest.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    with style.figure(7.0, 2.75 + 0.17 * max(0, len(curves) - 3)) as figure:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
        for label, (truth, score) in curves.items():
            options: dict[str, Any] = {"color": looks[label].colour, "lw": 1.4}
            false, true, _ = roc_curve(truth, score)
            area = format_number(float(roc_auc_score(truth, score)))
            _thinned(left, false, true, label=f"{style.shorten(label, 30)}: {area}", **options)
            precision, recall, _ = precision_recall_curve(truth, score)
            area = format_number(float(average_precision_score(truth, score)))
            right.axhline(truth.mean(), color=looks[label].colour if len(curves) > 1 and positive == "each class"
                          else style.FAINT, lw=0.8, ls=(0, (4, 3)))  # fmt: skip
            _thinned(right, recall, precision, drawstyle="steps-post", label=f"{style.shorten(label, 30)}: {area}",
                     **options)  # fmt: skip
        left.set(xlabel="share of the others taken for it", ylabel=f"share found of {style.shorten(positive, 20)}")
        left.set_title("ROC curve; area")
        right.set(xlabel="recall", ylabel="precision")
        right.set_title("Precision and recall; average precision")
        for ax in (left, right):
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), handlelength=1.4)
    return figure


def reliability(predicted: Any, observed: Any, counts: Any, colour: str, label: str) -> Figure:
    """Plot how often samples given a certain probability of a class do belong to it."""
    with style.figure(3.1, 2.9) as figure:
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
        size = 12 + 90 * np.sqrt(np.asarray(counts) / max(np.max(counts), 1))
        ax.plot(predicted, observed, color=colour, lw=1)
        ax.scatter(predicted, observed, s=size, color=colour, alpha=0.75, lw=0)
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), box_aspect=1, xlabel=label, ylabel="share that is right")
    return figure


def _thinned(ax: Axes, x: FloatArray, y: FloatArray, **options: Any) -> None:
    """Draw a curve with at most :data:`_MAX_POINTS` points, spread evenly along its length."""
    if len(x) > _MAX_POINTS:
        along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        keep = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _MAX_POINTS)).clip(0, len(x) - 1))
        x, y = x[keep], y[keep]
    ax.plot(x, y, **options)

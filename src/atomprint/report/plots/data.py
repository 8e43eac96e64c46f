"""Plots of data: how a target is distributed, which elements there are, how large structures are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from atomprint.learn.task.metrics import format_number
from atomprint.report.plots import style
from atomprint.util.text import with_unit
from atomprint.util.types import Array, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from atomprint.learn.splits.split import Split
    from atomprint.learn.task.problem import Problem

_NOBLE = (2, 10, 18, 36, 54, 86, 118)
_MAX_CLASSES = 20


def target_distribution(problem: Problem, split: Split, *, logarithmic: bool = False) -> Figure:
    """Plot how the target is distributed over the training and the test part, or how its logarithms are.

    A long tail is cut where it would squeeze the rest: what lies beyond is counted in the first and the last bar, and
    said below the plot.
    """
    y, target = problem.y, problem.target
    parts = [("training", split.train, style.TRAINING), ("test", split.test, style.TEST)]
    parts = [part for part in parts if len(part[1])]
    options: dict[str, Any] = {
        "stacked": True,
        "color": [colour for *_, colour in parts],
        "label": [f"{name} ({len(indices):,})" for name, indices, _ in parts],
    }
    what = "atoms" if target.level == "atom" else "samples"
    with style.figure(3.4, 2.1) as figure:
        ax = figure.subplots()
        if target.classes:
            counts = [np.bincount(y[indices].astype(int), minlength=len(target.classes)) for _, indices, _ in parts]
            _class_bars(ax, target.classes, counts, options)
            ax.set_xlabel(f"number of {what}")
        else:
            logarithmic = logarithmic and bool((y > 0).all())
            values = np.log(y) if logarithmic else y
            low, high = _without_tails(values)
            bins = np.linspace(low, high, style.n_bins(len(y)) + 1)
            bins = np.exp(bins) if logarithmic else bins
            ax.hist([y[indices].clip(bins[0], bins[-1]) for _, indices, _ in parts], bins=bins.tolist(), **options)
            beyond = int(np.count_nonzero((values < low) | (values > high)))  # not by what rounding makes of ends
            note = f"\n{beyond:,} beyond the ends are in the outer bars" if beyond else ""
            ax.set_xlabel(with_unit(target.title, target.unit) + note)
            ax.set_ylabel(f"number of {what}")
            style.scale(ax.xaxis, logarithmic)
            ax.yaxis.set_major_locator(style.locator(4))
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.1, columnspacing=1.2)
    return figure


def sizes(numbers: Array, label: str, what: str = "structures") -> Figure:
    """Plot how many structures have how many atoms, or compositions how many elements."""
    with style.figure(2.8, 2.1) as figure:
        ax = figure.subplots()
        low, high = int(numbers.min()), int(numbers.max())
        width = max(1, int(np.ceil((high - low + 1) / 30)))
        ax.hist(
            numbers, bins=np.arange(low - 0.5, high + width + 0.5, width).tolist(), color=style.TRAINING, rwidth=0.9
        )
        ax.set_xlabel(label)
        ax.set_ylabel(f"number of {what}")
        ax.xaxis.set_major_locator(style.locator(integer=True))
        ax.yaxis.set_major_locator(style.locator(4))
        if high == low:
            ax.set_xlim(low - 3, high + 3)
    return figure


def periodic_table(
    values: Mapping[str, float], label: str, *, logarithmic: bool = False, map_name: str = "Blues"
) -> Figure:
    """Plot one number for each element in the periodic table; elements without a number stay blank.

    Parameters
    ----------
    values : mapping of str to float
        Numbers by symbols of elements.
    label : str
        What the numbers are, with their unit.
    logarithmic : bool
        Whether colours follow the logarithm; numbers must be positive.
    map_name : str
        Name of a map of colours in matplotlib.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.patches import Rectangle

    numbers = {atomic_numbers[symbol]: value for symbol, value in values.items()}
    low, high = min(numbers.values()), max(numbers.values())
    if logarithmic:
        norm: Any = LogNorm(low, high) if high > low else LogNorm(low / 2, high * 2)
    else:
        norm = Normalize(min(low, 0), high if high > min(low, 0) else min(low, 0) + 1)
    colours = style.colours(0.08, map_name)
    symbols = {z: symbol for symbol, z in atomic_numbers.items()}
    last = 118 if max(numbers) > 86 else 86
    first = 7.4 if last > 86 else 6.4  # row of the lanthanides
    rows = 9.4 if last > 86 else 7.5 if any(57 <= z <= 71 for z in numbers) else 6.1
    with style.figure(6.9, 6.9 * rows / 19.6) as figure:
        ax = figure.subplots()
        for z in range(1, last + 1):
            row, column = _place(z, first)
            if row + 1 > rows + 0.1:
                continue
            value = numbers.get(z)
            face = "#ffffff" if value is None else colours(norm(value))
            ax.add_patch(Rectangle((column, row), 0.94, 0.94, facecolor=face, edgecolor=style.GRID, linewidth=0.6))
            dark = value is not None and np.dot(face[:3], (0.299, 0.587, 0.114)) < 0.55
            ink = "#ffffff" if dark else style.INK if value is not None else "#b0b8c1"
            ax.text(column + 0.47, row + 0.36, symbols[z], ha="center", va="center", fontsize=7.5, color=ink)
            if value is not None:
                ax.text(column + 0.47, row + 0.73, _compact(value), ha="center", va="center", fontsize=5, color=ink)
        ax.set(xlim=(-0.1, 18.1), ylim=(rows, -0.1), aspect="equal")
        ax.axis("off")
        bar = ax.inset_axes((2.6 / 18.2, 1 - 1.1 / rows, 8.6 / 18.2, 0.34 / rows))
        ticks = (
            style.round_numbers(norm.vmin, norm.vmax) if logarithmic else None
        )  # those of matplotlib are mathematics
        figure.colorbar(
            ScalarMappable(norm, colours), cax=bar, orientation="horizontal", ticks=ticks, format=_compact_tick
        )
        bar.minorticks_off()
        bar.set_title(label, fontsize=8, fontweight="normal", loc="left", pad=3)
        bar.tick_params(labelsize=7, length=2)
    return figure


def _place(z: int, first: float) -> tuple[float, int]:
    """Return row and column of an element, with lanthanides and actinides in two rows below, the first at ``first``."""
    if 57 <= z <= 71 or 89 <= z <= 103:
        return (first if z < 80 else first + 1), z - (57 if z < 80 else 89) + 2
    period = next(i for i, noble in enumerate(_NOBLE) if z <= noble)
    before_end = _NOBLE[period] - z
    after_start = z - (_NOBLE[period - 1] if period else 0) - 1
    first_block = 1 if period == 0 else 2
    column = after_start if after_start < first_block else 17 - before_end
    return float(period), column


def _compact_tick(value: float, position: int | None = None) -> str:
    return f"{value:g}" if abs(value) < 1e4 else _compact(value)


def _compact(value: float) -> str:
    """Return a number in at most five characters or so."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.{1 if letter == 'M' else 0}f}{letter}"
    return f"{value:.0f}" if value == round(value) else format_number(value)


def _class_bars(ax: Any, classes: tuple[str, ...], counts: list[Array], options: dict[str, Any]) -> None:
    order = np.argsort(-np.sum(counts, axis=0), kind="stable")[:_MAX_CLASSES]
    order = order if len(classes) > _MAX_CLASSES else np.arange(len(classes))
    left = np.zeros(len(order))
    for count, colour, label in zip(counts, options["color"], options["label"], strict=True):
        ax.barh(range(len(order)), count[order], left=left, color=colour, label=label, height=0.7)
        left += count[order]
    ax.set_yticks(range(len(order)), [style.shorten(classes[i], 18) for i in order])
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(style.locator(4))
    if len(classes) > len(order):
        ax.set_title(f"the {len(order)} most frequent of {len(classes)} classes", fontsize=8, fontweight="normal")


def _without_tails(y: FloatArray) -> tuple[float, float]:
    """Return the range of a histogram: all values, or the inner ones where few outer ones would stretch it fourfold."""
    low, high = float(y.min()), float(y.max())
    inner_low, inner_high = np.percentile(y, [0.5, 99.5]) if len(y) >= 200 else (low, high)
    spread = inner_high - inner_low
    if spread == 0:
        return (low, high) if high > low else (low - 0.5, high + 0.5)
    return (
        float(inner_low - 0.1 * spread) if inner_low - low > 1.5 * spread else low,
        float(inner_high + 0.1 * spread) if high - inner_high > 1.5 * spread else high,
    )

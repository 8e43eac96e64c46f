"""Plots of what models rely on, where they err, and whether they know how far they err."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from atomprint.report.plots import style
from atomprint.util.text import with_unit
from atomprint.util.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from atomprint.learn.evaluation.breakdown import BreakdownRow
    from atomprint.learn.evaluation.coverage import CoverageRow
    from atomprint.learn.evaluation.importance import GroupImportance

_LARGEST = 12  # groups shown


def importance(
    groups: Mapping[str, Sequence[GroupImportance]], label: str, colour: str, n_groups: Mapping[str, int] | None = None
) -> Figure:
    """Plot what scrambling each group of features costs, one panel for each way to group them.

    Parameters
    ----------
    groups : mapping of str to sequence of GroupImportance
        The groups by what they are.
    label : str
        What the bars are, with their unit.
    colour : str
        Colour of the bars.
    n_groups : mapping of str to int, optional
        How many groups there are in all, where not all are given.
    """
    panels = {
        kind: sorted(found, key=lambda group: _last_number(group.label))
        if len(found) <= _LARGEST and all(group.label[-1].isdigit() for group in found)  # n = 1, n = 2 …
        else found[:_LARGEST]
        for kind, found in groups.items()
    }
    rows = max(len(found) for found in panels.values())
    labels = [0.075 * max(len(style.shorten(group.label)) for group in found) for found in panels.values()]  # inches
    widths = [1.75 + label for label in labels]
    with style.figure(max(sum(widths) + 0.2, 3.8), 0.19 * rows + 0.85) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for ax, (kind, found) in zip(axes, panels.items(), strict=True):
            means = np.array([group.mean for group in found])
            _rows(ax, [group.label for group in found], rows)
            ax.barh(range(len(found)), means, height=0.72, color=colour, alpha=0.85)
            ax.errorbar(means, range(len(found)), xerr=[g.std for g in found], fmt="none", ecolor=style.INK,
                        elinewidth=0.7)  # fmt: skip
            ax.axvline(0, color=style.FAINT, lw=0.7)
            ax.xaxis.set_major_locator(style.locator(4))
            total = (n_groups or {}).get(kind, len(groups[kind]))
            ax.set_title(kind + ("" if len(found) == total else f" ({len(found)} of {total})"), fontsize=9)
        if len(panels) == 1:
            label = textwrap.fill(label, int(sum(widths) / 0.075))
        figure.supxlabel(label, fontsize=9)
    return figure


def breakdown(rows: Sequence[BreakdownRow], title: str, label: str, colour: str, overall: float) -> Figure:
    """Plot the error of each group of samples, with their number, beside that of all samples.

    Parameters
    ----------
    rows : sequence of BreakdownRow
        The groups, in the order in which they are shown.
    title, label : str
        What the groups are, and what is plotted, with its unit.
    colour : str
        Colour of the bars; groups of fewer than 10 samples are pale.
    overall : float
        The error of all samples.
    """
    longest = max(len(style.shorten(row.label)) for row in rows)
    with style.figure(2.6 + 0.075 * longest, 0.2 * len(rows) + 0.95) as figure:
        ax = figure.subplots()
        places = range(len(rows))
        errors = [row.error for row in rows]
        _rows(ax, [row.label for row in rows], len(rows))
        bars = ax.barh(places, errors, height=0.72, color=colour)
        for bar, row in zip(bars, rows, strict=True):
            bar.set_alpha(0.85 if row.n >= 10 else 0.4)
        ax.axvline(overall, color=style.INK, lw=0.9, ls=(0, (4, 3)))
        ax.annotate("all", (overall, 1), xycoords=("data", "axes fraction"), xytext=(0, 1),
                    textcoords="offset points", ha="center", fontsize=7.5)  # fmt: skip
        reach = max([*errors, overall]) or 1.0
        ax.set_xlim(0, 1.22 * reach)
        for place, row in zip(places, rows, strict=True):
            ax.text(row.error + 0.02 * reach, place, f"{row.n:,}", va="center", fontsize=7, color=style.FAINT,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8})  # fmt: skip
        ax.xaxis.set_major_locator(style.locator(4))
        ax.set_xlabel(label)
        ax.set_title(title, pad=11)
    return figure


def calibration(levels: Sequence[float], observed: Sequence[float], colour: str, level: float) -> Figure:
    """Plot how many true values lie within intervals of each nominal level.

    Parameters
    ----------
    levels, observed : sequence of float
        Share of true values that the intervals promise to hold, and share that they hold.
    colour : str
        Colour of the curve.
    level : float
        The level of the intervals that are reported, which is marked.
    """
    with style.figure(3.0, 2.9) as figure:
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
        ax.axvline(level, color=style.GRID, lw=1.0, zorder=0)
        ax.plot(levels, observed, marker="o", ms=4, color=colour)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
        ax.set(xlabel="nominal level of the interval", ylabel="share of true values in it")
    return figure


def coverage(tables: Mapping[str, Sequence[CoverageRow]], colour: str, level: float, least: float) -> Figure:
    """Plot the share of true values inside intervals, one panel for each way to group samples.

    Parameters
    ----------
    tables : mapping of str to sequence of CoverageRow
        The groups by what they are.
    colour : str
        Colour of the points; those of intervals of one width are hollow.
    level, least : float
        What is promised, and below what a group falls short.
    """
    longest = [max(len(style.shorten(row.label)) for row in rows) for rows in tables.values()]
    sizes = [1.6 + 0.075 * n for n in longest]
    most = max(len(rows) for rows in tables.values())
    lowest = min(min(row.coverage, row.coverage if row.constant is None else row.constant)
                 for rows in tables.values() for row in rows)  # fmt: skip
    with style.figure(max(sum(sizes) + 0.2, 3.8), 0.2 * most + 0.95) as figure:
        axes = figure.subplots(1, len(tables), squeeze=False, width_ratios=sizes)[0]
        for ax, (kind, rows) in zip(axes, tables.items(), strict=True):
            places = np.arange(len(rows))
            _rows(ax, [row.label for row in rows], most)
            ax.axvspan(0, least, color=style.GRID, alpha=0.5, lw=0, zorder=0)
            ax.axvline(level, color=style.INK, lw=0.9, ls=(0, (4, 3)))
            known = np.array([row.constant is not None for row in rows])
            if known.any():
                ax.plot([row.constant for row in rows if row.constant is not None], places[known], "o", ms=4.5,
                        mfc="white", mec=style.FAINT, mew=0.9)  # fmt: skip
            ax.plot([row.coverage for row in rows], places, "o", ms=4.5, color=colour)
            ax.set_xlim(min(lowest, least) - 0.04, 1.02)
            ax.xaxis.set_major_locator(style.locator(4))
            ax.set_title(kind, fontsize=9)
        figure.supxlabel("share of true values inside", fontsize=9)
    return figure


def widths(half_widths: FloatArray, errors: FloatArray, unit: str, colour: str, *, factors: bool = False) -> Figure:
    """Plot absolute errors against the half-width of the interval that was given with each prediction.

    Of models of logarithms both are ``factors``, 1 for none, and axes are logarithmic.
    """
    both = np.concatenate([half_widths, errors])
    low = 1.0 if factors else 0.0
    reach = low + ((float(np.percentile(both, 99.5)) - low) * 1.05 or 1.0)
    with style.figure(3.2, 2.9) as figure:
        ax = figure.subplots()
        ax.set(xlim=(low, reach), ylim=(low, reach), box_aspect=1)
        for axis in (ax.xaxis, ax.yaxis):
            style.scale(axis, factors)
        ax.plot([low, reach], [low, reach], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
        if len(errors) > style.MANY:
            style.density(ax, half_widths, errors)
        else:
            ax.scatter(half_widths, errors, s=10, color=colour, alpha=0.6, lw=0, rasterized=len(errors) > 400)
        if factors:
            ax.set_xlabel("half-width of the interval, a factor")
            ax.set_ylabel("error, a factor")
        else:
            ax.set_xlabel(with_unit("half-width of the interval", unit))
            ax.set_ylabel(with_unit("absolute error", unit))
    return figure


def _rows(ax: Axes, labels: Sequence[str], n_rows: int) -> None:
    """Prepare an axis of rows with names, in a panel that has room for ``n_rows`` of them."""
    ax.set_yticks(range(len(labels)), [style.shorten(label) for label in labels])
    ax.set_ylim(n_rows - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _last_number(label: str) -> tuple[str, int]:
    """Sort labels such as "n = 2" and "n = 10" by their numbers."""
    digits = len(label) - len(label.rstrip("0123456789"))
    return label[: len(label) - digits], int(label[len(label) - digits :])

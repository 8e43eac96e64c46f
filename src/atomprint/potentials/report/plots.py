"""Plots of what potentials say beside what is known, and of curves in which holes are seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atomprint.potentials.report.comparison import QUANTITIES, Comparison
from atomprint.potentials.report.curves import DimerCurve, VolumeCurve
from atomprint.report.plots import style
from atomprint.util.text import with_unit
from atomprint.util.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 6  # types of configurations with a colour of their own
_COLUMNS = 3


def parity(comparison: Comparison) -> Figure:
    """Plot predicted against known energies, forces and stresses, coloured by the type of configuration."""
    shown = [quantity for quantity in QUANTITIES if quantity.name in comparison.values]
    types = np.array(comparison.labels.config_types)
    kinds = sorted(comparison.kinds[:_SHOWN])  # so that plots of several sets have the same colours
    rest = comparison.kinds[_SHOWN:]
    with style.figure(2.75 * len(shown) + 0.25, 3.0 + (0.35 if kinds else 0)) as figure:
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for ax, quantity in zip(axes, shown, strict=True):
            values = comparison.values[quantity.name]
            low, high = _limits(values.known)
            ax.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
            ax.axline((low, low), slope=1, color=style.FAINT, lw=0.8, zorder=1)
            shown_known, inside = np.clip(values.known, low, high), np.clip(values.predicted, low, high)
            if not kinds and len(values.known) > style.MANY:
                style.density(ax, shown_known, inside)
            else:
                parts = [(kind, types[values.structures] == kind) for kind in kinds]
                parts += [("", np.isin(types[values.structures], rest) if kinds else np.ones(len(inside), dtype=bool))]
                for place, (_, own) in enumerate(parts):
                    colour = style.PALETTE[place] if place < len(kinds) else style.FAINT if kinds else style.PALETTE[0]
                    few = len(values.known) <= 400
                    ax.scatter(shown_known[own], inside[own], s=11 if few else 4, color=colour, lw=0,
                               alpha=0.75 if few else 0.4, rasterized=not few, zorder=2)  # fmt: skip
            if n_out := int(((inside != values.predicted) | (shown_known != values.known)).sum()):
                ax.text(0.98, 0.03, f"{n_out:,} outside", transform=ax.transAxes, ha="right", fontsize=8,
                        color=style.FAINT)  # fmt: skip
            figures = comparison.figures()[quantity.name]
            ax.set_title(f"{quantity.title}\nMAE {_short(figures.mae)}, RMSE {_short(figures.rmse)}", fontsize=8.5)
            ax.set_xlabel(with_unit("known", quantity.unit))
            ax.set_ylabel(with_unit("predicted", quantity.unit))
            ax.xaxis.set_major_locator(style.locator(4))
            ax.yaxis.set_major_locator(style.locator(4))
        if kinds:
            names = [*kinds, *(["others"] if rest else [])]
            marks = [axes[0].plot([], [], "o", ms=4, color=style.PALETTE[k] if k < len(kinds) else style.FAINT)[0]
                     for k in range(len(names))]  # fmt: skip
            figure.legend(marks, [style.shorten(name, 18) for name in names], loc="outside lower center", ncols=7)
    return figure


def _limits(known: FloatArray) -> tuple[float, float]:
    """Return limits that hold the known values, but for a few that are far from all others."""
    low, high = (float(np.quantile(known, q)) for q in (0.002, 0.998))
    reach = 0.6 * (high - low)
    low, high = max(float(known.min()), low - reach), min(float(known.max()), high + reach)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def errors(groups: dict[str, dict[str, Any]], comparison: Comparison) -> Figure:
    """Plot the root mean square errors of groups of structures or atoms beside those of all.

    Parameters
    ----------
    groups : dict of str to dict of str to Figures
        By the name of the group and the quantity, as :meth:`Comparison.by_kind` gives them.
    comparison : Comparison
        For the errors of all.
    """
    shown = [quantity for quantity in QUANTITIES if any(quantity.name in found for found in groups.values())]
    names = list(groups)[:24]
    longest = max(len(style.shorten(name, 20)) for name in names)
    with style.figure(0.075 * longest + 0.4 + 2.1 * len(shown), 0.2 * len(names) + 0.95) as figure:
        axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for ax, quantity in zip(axes, shown, strict=True):
            own = [groups[name].get(quantity.name) for name in names]
            sizes = [np.nan if found is None else found.rmse for found in own]
            whole = comparison.figures()[quantity.name].rmse
            ax.barh(range(len(names)), sizes, height=0.72, color=style.PALETTE[0], alpha=0.85)
            ax.axvline(whole, color=style.INK, lw=0.9, ls=(0, (4, 3)))
            ax.annotate("all", (whole, 1), xycoords=("data", "axes fraction"), xytext=(0, 1),
                        textcoords="offset points", ha="center", fontsize=7.5)  # fmt: skip
            reach = float(np.nanmax([*sizes, whole])) or 1.0
            ax.set_xlim(0, 1.25 * reach)
            for place, found in enumerate(own):
                if found is not None:
                    text, start = f"{found.n:,}", found.rmse + 0.025 * reach
                    if start - 0.02 * reach < whole < start + 0.045 * reach * len(text):  # the line of all is there
                        start = whole + 0.025 * reach
                    ax.text(start, place, text, va="center", fontsize=7, color=style.FAINT)
            ax.set_xlabel(with_unit(f"{quantity.title}, RMSE", quantity.unit))
            ax.xaxis.set_major_locator(style.locator(4))
            ax.spines["left"].set_visible(False)
            ax.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(names)), [style.shorten(name, 20) for name in names])
        axes[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def learning_curve(sizes: Sequence[int], curves: dict[str, Sequence[float]]) -> Figure:
    """Plot errors of left-out structures against how many structures a potential was fitted to.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of structures.
    curves : dict of str to sequence of float
        Root mean square errors by the name of the quantity, in its unit.
    """
    shown = [quantity for quantity in QUANTITIES if quantity.name in curves]
    with style.figure(2.6 * len(shown) + 0.2, 2.5) as figure:
        for place, (ax, quantity) in enumerate(
            zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True)
        ):
            ax.loglog(sizes, curves[quantity.name], "-o", ms=4.5, color=style.PALETTE[place])
            ax.set_xticks(list(sizes), [f"{n:,}" for n in sizes], minor=False)
            ax.minorticks_off()
            low, high = 0.87 * min(curves[quantity.name]), 1.15 * max(curves[quantity.name])
            ax.set_ylim(low, high)
            _round_ticks(ax.yaxis, low, high)
            ax.grid(axis="y")
            ax.set_xlabel("structures fitted to")
            ax.set_ylabel(with_unit(f"{quantity.title}, RMSE", quantity.unit))
    return figure


def _round_ticks(axis: Any, low: float, high: float) -> None:
    """Put round numbers at a logarithmic axis: powers of ten over many of them, else what a linear one would have."""
    from matplotlib.ticker import NullLocator

    if high < 12 * low:
        ticks = [float(tick) for tick in style.locator(5).tick_values(low, high) if low <= tick <= high]
    else:
        powers = [10.0**e for e in range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)]
        ticks = [power for power in powers if power >= low]
        if len(ticks) < 2:  # of little more than a decade
            ticks = [step * power for power in powers for step in (1, 2, 5) if low <= step * power <= high]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def calibration(shown: Mapping[str, tuple[FloatArray, FloatArray]]) -> Figure:
    """Plot how many errors are within so many expected ones, and how large they are where they are expected to be.

    Parameters
    ----------
    shown : mapping of str to (ndarray, ndarray)
        Errors and expected errors by the name of their quantity.
    """
    levels = np.linspace(0.05, 0.95, 19)
    with style.figure(6.6, 2.9) as figure:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
        reach: list[float] = []
        for place, quantity in enumerate(QUANTITIES):
            errors, expected = shown.get(quantity.name, (np.empty(0), np.empty(0)))
            if len(errors) < 5:
                continue
            ratio = np.abs(errors) / expected
            within = [float(np.mean(ratio <= _normal(level))) for level in levels]
            look = {"color": style.PALETTE[place], "label": quantity.title}
            left.plot(levels, within, "-o", ms=3, **look)
            wanted, found = _binned(errors, expected)
            scale = float(np.sqrt(np.mean(errors**2))) or 1.0
            right.loglog(wanted / scale, found / scale, "-o", ms=4, **look)
            reach += [*(wanted / scale), *(found / scale)]
        left.set(
            xlim=(0, 1), ylim=(0, 1.02), xlabel="level of the interval", ylabel="share of errors in it", box_aspect=1
        )
        left.axvline(0.9, color=style.GRID, lw=1, zorder=0)
        left.legend(loc="upper left")
        if reach:
            low, high = max(min(reach), 1e-4) / 1.3, max(reach) * 1.3
            right.plot([low, high], [low, high], color=style.FAINT, lw=0.8, ls=(0, (4, 3)))
            right.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
            _round_ticks(right.xaxis, low, high)
            _round_ticks(right.yaxis, low, high)
        right.set(xlabel="expected error / RMSE of all", ylabel="RMSE of a tenth / RMSE of all")
    return figure


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def _binned(errors: FloatArray, expected: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return expected and found root mean square errors of tenths of the values, by the expected one."""
    order = np.argsort(expected, kind="stable")
    parts = np.array_split(order, min(10, max(2, len(order) // 5)))
    wanted = np.array([np.sqrt(np.mean(expected[part] ** 2)) for part in parts])
    found = np.array([np.sqrt(np.mean(errors[part] ** 2)) for part in parts])
    return wanted, np.maximum(found, 1e-12)


def dimers(curves: Sequence[DimerCurve]) -> Figure:
    """Plot the energy of two atoms against their distance, for each pair of elements."""
    columns = min(len(curves), _COLUMNS)
    rows = -(-len(curves) // columns)
    with style.figure(2.3 * columns + 0.5, 2.2 * rows + 0.2) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, curve in zip(axes, curves, strict=False):
            outer = curve.energies[curve.distances >= (curve.shortest or curve.distances[0])]
            depth = max(0.5, float(np.abs(outer[np.isfinite(outer)]).max(initial=0.0)))
            if curve.shortest is not None:
                ax.axvspan(0, curve.shortest, color=style.GRID, alpha=0.7, lw=0, zorder=0)
            ax.axhline(0, color=style.FAINT, lw=0.7)
            ax.plot(curve.distances, curve.energies, color=style.PALETTE[0], lw=1.4)
            top = min(float(np.nanmax(curve.energies)), 100 * depth)
            ax.set_xlim(0, curve.distances[-1])
            ax.set_yscale("symlog", linthresh=10 ** np.ceil(np.log10(depth)), linscale=1.5)
            ax.set_ylim(min(-1.3 * depth, 1.2 * float(np.nanmin(curve.energies))), max(1.3 * top, 2 * depth))
            _plain_numbers(ax.yaxis)
            ax.set_title("–".join(curve.pair), fontsize=9)
            ax.set_xlabel("distance (Å)")
            ax.set_ylabel("energy (eV)")
        for ax in axes[len(curves) :]:
            ax.remove()
    return figure


def volumes(curves: Sequence[VolumeCurve]) -> Figure:
    """Plot the energy per atom against the volume, for some structures."""
    columns = min(len(curves), _COLUMNS)
    rows = -(-len(curves) // columns)
    with style.figure(2.3 * columns + 0.5, 2.2 * rows + 0.2) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, curve in zip(axes, curves, strict=False):
            ax.plot(curve.volumes, curve.energies, color=style.PALETTE[0], lw=1.4)
            volume, energy = curve.known
            ax.plot([volume], [energy], "o", ms=5, mfc="white", color=style.PALETTE[1])
            near = np.abs(curve.volumes / volume - 1) < 0.35
            lowest = float(np.nanmin(curve.energies))
            high = float(np.nanmax(curve.energies[near]))
            ax.set_ylim(lowest - 0.12 * (high - lowest), high + 0.6 * (high - lowest))
            ax.set_title(style.shorten(curve.title, 28), fontsize=9)
            ax.set_xlabel("volume (Å³/atom)")
            ax.set_ylabel("energy (eV/atom)")
            ax.xaxis.set_major_locator(style.locator(5))
            ax.yaxis.set_major_locator(style.locator(5))
        for ax in axes[len(curves) :]:
            ax.remove()
    return figure


def _plain_numbers(*axes: Any) -> None:
    """Write powers of ten as numbers: names may hold dollar signs, so formulas are not set."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    return f"{value:.3g}"

"""What all plots share: one style, colours that colour-blind people can tell apart, and figures without a display."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from atomprint.learn.task.wild import far_values
from atomprint.util.extras import require
from atomprint.util.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from atomprint.learn.task.metrics import Metric

INK, FAINT, GRID = "#1f2933", "#6b7785", "#e4e7eb"
TRAINING, TEST = "#9fb3c8", "#243b53"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Colours by B. Wong, Nature Methods 8, 441 (2011), without black and the yellow that is hard to see on white."""
MARKERS = ("o", "D", "s", "^", "v", "P", "X")
MANY = 3000
"""From how many points on a plot shows their density in place of the points."""

_STYLE = MappingProxyType(
    {
        "font.family": "sans-serif",
        "font.size": 9,
        "text.parse_math": False,  # names may hold dollar signs
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.7,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.minor.width": 0.5,
        "ytick.minor.width": 0.5,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "legend.handletextpad": 0.4,
        "svg.hashsalt": "atomprint",
    }
)


# Coordinates of paths: a hundredth of a point is finer than any screen, and shorter than what matplotlib writes.
_COORDINATES = re.compile(rb'(?<= d=")[^"]+(?=")')
_DECIMALS = re.compile(rb"-?\d+\.\d{3,}")


class Look(NamedTuple):
    """How a model looks in all plots of a study."""

    colour: str
    marker: str


def look(place: int) -> Look:
    """Return colour and marker by the place of a model in its study; they repeat together only after 42 models."""
    return Look(PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)])


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return colour and marker of each model."""
    return {name: look(place) for place, name in enumerate(names)}


@contextmanager
def figure(width: float, height: float, *, arranged: bool = True) -> Iterator[Figure]:
    """Yield an empty figure of a size in inches, with the style of all plots while it is being drawn.

    Parameters
    ----------
    width, height : float
        Size in inches.
    arranged : bool
        Whether matplotlib makes room for labels; if not, axes lie where they are put.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    with styled():
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height), layout="constrained" if arranged else None)


@contextmanager
def styled() -> Iterator[None]:
    """Set the style of all plots for a while."""
    mpl = require("matplotlib", "report", "a plot")
    with mpl.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # A name in a script that the font does not have is no reason to have no plot.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="svg", dpi=144, metadata={"Date": None, "Creator": None})
    return _COORDINATES.sub(_rounded, buffer.getvalue())


def _rounded(path: re.Match[bytes]) -> bytes:
    return _DECIMALS.sub(lambda number: b"%.2f" % float(number[0]), path[0])


def data_uri(figure: Figure) -> str:
    """Return a figure as an SVG in a ``data:`` URI, which needs no file beside the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure)).decode("ascii")


def number(metric: Metric) -> float:
    """Return the value of a figure of merit, nan where it is not defined: matplotlib leaves that out."""
    return np.nan if metric.value is None else metric.value


def shorten(text: str, length: int = 32) -> str:
    """Return a text that fits beside an axis."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def locator(n: int = 5, *, integer: bool = False) -> Any:
    """Return a locator of at most ``n`` round ticks."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n, steps=[1, 2, 5, 10] if integer else [1, 2, 2.5, 5, 10], integer=integer)


def scale(axis: Axis, logarithmic: bool = False) -> None:
    """Put round ticks on an axis whose limits are set, which becomes logarithmic if asked."""
    if not logarithmic:
        axis.set_major_locator(locator())
        return
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    ticks = round_numbers(float(low), float(high))
    small = all(1e-3 <= tick < 1e5 for tick in ticks)
    axis.set_ticks(ticks, [f"{tick:g}" if small else _power(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def _power(value: float) -> str:
    """Return a number such as 10⁻⁴ or 3·10⁶; the style of plots takes text as it is."""
    digit, power = f"{value:e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if float(digit) == 1 else f"{float(digit):g}·10{raised}"


def round_numbers(low: float, high: float, most: int = 7) -> list[float]:
    """Return a few round numbers between two positive ones, evenly spaced in their logarithms if far apart."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{p * step:.3g}") for p in powers for step in steps if low <= p * step <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 3 and steps == (1, 2, 5):
        return [tick for tick in locator(4).tick_values(low, high).tolist() if low <= tick <= high]
    return ticks[:: -(-len(ticks) // most)]


def place(axis: Axis, share: float) -> float:
    """Return what is at a share of the length of an axis."""
    low, high = axis.get_view_interval()
    inverse = axis.get_transform().inverted()
    ends = axis.get_transform().transform(np.array([low, high]))
    return float(inverse.transform(np.array([ends[0] + share * (ends[1] - ends[0])]))[0])


def colours(low: float = 0.12, name: str = "Blues") -> Any:
    """Return a map of colours of one hue, without its palest part, which could not be told from paper."""
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"{name} from {low}", mpl.colormaps[name](np.linspace(low, 1.0, 256)))


def density(ax: Axes, x: FloatArray, y: FloatArray, gridsize: int = 55) -> Any:
    """Draw how many points lie where, in hexagons on a logarithmic scale of colours, as pixels."""
    log_x, log_y = ax.get_xscale() == "log", ax.get_yscale() == "log"
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    if log_x:
        left, right = np.log10(left), np.log10(right)
    if log_y:
        bottom, top = np.log10(bottom), np.log10(top)
    drawn = ax.hexbin(
        x, y, gridsize=gridsize, bins="log", mincnt=1, cmap=colours(), linewidths=0.15, rasterized=True,
        xscale="log" if log_x else "linear", yscale="log" if log_y else "linear",
        extent=(left, right, bottom, top),
    )  # fmt: skip
    for axis, logarithmic in ((ax.xaxis, log_x), (ax.yaxis, log_y)):
        if logarithmic:  # whose ticks are those of matplotlib again
            scale(axis, True)
    return drawn


def n_bins(n: int) -> int:
    """Return how many bars suit a histogram of ``n`` values."""
    return int(np.clip(2 * np.sqrt(n), 6, 40))


def robust_limits(truth: FloatArray, guess: FloatArray, logarithmic: bool = False) -> tuple[float, float]:
    """Return limits of an axis that hold true values and predictions, unless they are absurdly far from the rest.

    For a logarithmic axis true values must be positive, and predictions that are not have no place on it.
    """
    if logarithmic:
        guess = guess[guess > 0]
        low, high = robust_limits(np.log(truth), np.log(guess) if len(guess) else np.log(truth))
        return float(np.exp(low)), float(np.exp(high))
    truth = np.delete(truth, far_values(truth))
    low, high = float(truth.min()), float(truth.max())
    reach = 0.5 * ((high - low) or abs(high) or 1.0)
    low, high = max(low - reach, min(low, float(guess.min()))), min(high + reach, max(high, float(guess.max())))
    margin = 0.04 * ((high - low) or abs(high) or 1.0)
    return low - margin, high + margin

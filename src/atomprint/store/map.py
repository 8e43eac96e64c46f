"""A map of a store: each row a point, near to those that are like it, as a picture or as a page with structures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.report.plots import style
from atomprint.store.index import SearchIndex
from atomprint.store.opened import OpenStore
from atomprint.util.extras import require
from atomprint.util.files import write_atomically, written_atomically
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_choice, check_integer

METHODS = ("pca", "umap")
_MOST_ATOMS = 300_000  # of all structures of a page
_AXES = 3  # of the components that a page has
_MANY = 20_000  # points of a picture; of more, hexagons show the mean
_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
 html, body {{ margin: 0; height: 100%; font-family: sans-serif; color: #1f2933; }}
 body {{ display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr) minmax(0, 1fr); }}
 #meta {{ grid-column: 1 / 3; }}
 #map, #right {{ min-width: 0; min-height: 0; }}
 #right {{ display: flex; flex-direction: column; }}
 #structure {{ flex: 1; min-height: 0; }}
 @media (max-width: 700px) {{
  body {{ display: block; height: auto; }}
  #map, #structure {{ height: 75vh; flex: none; }}
 }}
</style></head><body>
<div id="meta"></div><div id="map"></div><div id="right"><div id="structure"></div><div id="info"></div></div>
<script>{bundle}</script>
<script>
Chemiscope.DefaultVisualizer.load({{ meta: "meta", map: "map", structure: "structure", info: "info" }}, {data})
 .catch((error) => {{ document.getElementById("meta").textContent = "This page cannot be shown: " + error; }});
</script></body></html>
"""


@dataclass(frozen=True, eq=False)
class StoreMap:
    """Places of rows on a map.

    Parameters
    ----------
    store : OpenStore
        The store.
    rows : ndarray of int, shape (n_points,)
        Which rows.
    points : ndarray of float64, shape (n_points, n_axes)
        Their places.
    axes : tuple of str
        What the axes are.
    n_all : int
        How many rows there were to choose from.
    """

    store: OpenStore
    rows: Indices
    points: FloatArray
    axes: tuple[str, ...]
    n_all: int

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, path: Path, colour: str | None = None) -> None:
        """Write a picture (``.png``, ``.svg``, ``.pdf``) or a page (``.html``).

        Parameters
        ----------
        path : Path
            The file, which gets its name when it is complete.
        colour : str, optional
            Column by which points are coloured. Default: the first target that most rows have, if any.

        Raises
        ------
        ValueError
            If the file has another ending, or there is no such column.
        ImportError
            If matplotlib or chemiscope is missing.
        """
        known = (*self.store.targets, *(name for name in ("n_atoms", "formula") if name in self.store.columns))
        if colour is not None:
            check_choice("colour", colour, known)
        values = {
            name: self._column(name) for name in (known if path.suffix == ".html" else (colour,) if colour else known)
        }
        if colour is None:
            told = {name: np.mean(_known(found)) for name, found in values.items() if name in self.store.targets}
            colour = next((name for name, share in told.items() if share > 0.5), None)
        if path.suffix == ".html":
            write_atomically(path, _page(self, values, colour))
        elif path.suffix in (".png", ".svg", ".pdf"):
            with written_atomically(path) as temporary, temporary.open("wb") as file:
                _draw(file, path.suffix[1:], self, colour, None if colour is None else values[colour])
        else:
            raise ValueError(f"a map must end in .html, .png, .svg or .pdf, got {path.name!r}")

    def _column(self, name: str) -> npt.NDArray[Any]:
        found = self.store.table([name], self.rows).column(name)
        return np.asarray(found.to_numpy(zero_copy_only=False))


def make_map(
    store: OpenStore, index: SearchIndex, rows: Indices, method: str, most: int | None, n_neighbours: int
) -> StoreMap:
    """Return a map of some rows; see :meth:`~atomprint.store.FeatureStore.map`."""
    check_choice("method", method, METHODS)
    n_all = len(rows)
    if n_all < 3:
        raise ValueError(f"a map must have at least 3 points, got {n_all}")
    if most is not None and n_all > check_integer("most", most, 3):
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    x = index.components[rows]
    if method == "pca":
        n = min(_AXES, x.shape[1] - 1)
        every = np.asarray(index.components[:, :n].var(axis=0, dtype=np.float64))
        total = float(index.squares.mean(dtype=np.float64)) or 1.0
        axes = tuple(f"component {k + 1} ({100 * part / total:.0f} % of all)" for k, part in enumerate(every.tolist()))
        points = np.zeros((len(rows), max(2, n)))
        points[:, :n] = x[:, :n]
        return StoreMap(store, rows, points, (*axes, "no second component")[: max(2, n)], n_all)
    umap = require("umap", "umap", "a map by UMAP")
    found = umap.UMAP(
        n_neighbors=min(check_integer("n_neighbours", n_neighbours, 2), len(rows) - 1),
        random_state=0,
        n_jobs=1,
        init="spectral" if len(rows) > 10 else "random",
    ).fit_transform(x)
    return StoreMap(store, rows, np.asarray(found, dtype=np.float64), ("UMAP 1", "UMAP 2"), n_all)


def _draw(file: Any, kind: str, made: StoreMap, colour: str | None, values: npt.NDArray[Any] | None) -> None:
    with style.figure(6.4, 5.2) as figure:
        ax = figure.add_subplot()
        x, y = made.points[:, 0], made.points[:, 1]
        title = f"{len(made):,} rows" + (f" of {made.n_all:,}" if len(made) < made.n_all else "")
        if values is None:
            _density(ax, figure, x, y)
        elif values.dtype.kind == "O":
            _classes(ax, x, y, values)
        else:
            values = values.astype(np.float64)
            told = np.isfinite(values)
            if not told.all():
                ax.scatter(x[~told], y[~told], s=3, c=style.GRID, linewidths=0, rasterized=True)
                title += f", {int((~told).sum()):,} of them without {colour}"
            order = np.random.default_rng(0).permutation(np.flatnonzero(told))  # none hides the others by its place
            low, high = np.percentile(values[told], (1, 99)) if told.any() else (0, 1)
            if len(order) > _MANY:
                drawn: Any = ax.hexbin(
                    x[order], y[order], C=values[order], gridsize=90, vmin=low, vmax=high, linewidths=0
                )
            else:
                size = float(np.clip(20_000 / max(1, len(order)), 2, 14))
                drawn = ax.scatter(
                    x[order], y[order], s=size, c=values[order], vmin=low, vmax=high, linewidths=0, rasterized=True
                )
            beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
            extend = beyond.get((bool((values < low).any()), bool((values > high).any())), "neither")
            figure.colorbar(drawn, ax=ax, label=colour, extend=extend)
        ax.set(xlabel=made.axes[0], ylabel=made.axes[1], title=f"{made.store.folder.name}: {title}")
        figure.savefig(file, format=kind, dpi=200)


def _density(ax: Any, figure: Any, x: FloatArray, y: FloatArray) -> None:
    if len(x) <= style.MANY:
        ax.scatter(x, y, s=8, c=style.PALETTE[0], alpha=0.6, linewidths=0)
        return
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    figure.colorbar(style.density(ax, x, y), ax=ax, label="rows")


def _classes(ax: Any, x: FloatArray, y: FloatArray, values: npt.NDArray[Any]) -> None:
    """Draw the most frequent words in colours, the others in grey."""
    names, codes, counts = np.unique([str(value) for value in values], return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[: len(style.PALETTE)]
    rest = ~np.isin(codes, order)
    if rest.any():
        ax.scatter(x[rest], y[rest], s=3, c=style.FAINT, alpha=0.4, linewidths=0, rasterized=True, label="others")
    for place, code in enumerate(order.tolist()):
        own = codes == code
        label = style.shorten(f"{names[code]} ({counts[code]:,})")
        ax.scatter(x[own], y[own], s=8, c=style.PALETTE[place], linewidths=0, rasterized=True, label=label)
    ax.legend(markerscale=2)


def _page(made: StoreMap, values: Mapping[str, npt.NDArray[Any]], colour: str | None) -> str:
    """Return a page that needs no network: what chemiscope runs, and its data, are in it."""
    chemiscope = require("chemiscope", "chemiscope", "a map with structures")
    if made.store.plan.inputs != "structures":
        raise ValueError("a page shows structures, and the store has formulas only: write a .png")
    batch = made.store.structures(made.rows)
    if len(batch.numbers) > _MOST_ATOMS:
        n = int(np.searchsorted(batch.offsets, _MOST_ATOMS)) - 1
        raise ValueError(
            f"a page may have at most {_MOST_ATOMS:,} atoms, got {len(batch.numbers):,} of {len(made)} structures: "
            f"take about {n} of them (--most)"
        )
    names = ["PCA" if "component" in axis else "UMAP" for axis in made.axes]
    axes = {f"{name} {k + 1}": column for k, (name, column) in enumerate(zip(names, made.points.T, strict=True))}
    properties = {name: _property(column) for name, column in axes.items()}
    properties |= {name: _property(column) for name, column in values.items() if _known(column).any()}
    properties["id"] = _property(made.store.ids[made.rows])
    first, second = list(axes)[:2]
    settings: dict[str, Any] = {"map": {"x": {"property": first}, "y": {"property": second}, "z": {"property": ""}}}
    if colour is not None and values[colour].dtype.kind != "O":
        settings["map"]["color"] = {"property": colour}
    settings["structure"] = [{"unitCell": True, "bonds": True}]
    about = f"{len(made):,} of {made.n_all:,} rows of {made.store.folder.name}; " + ", ".join(made.axes[:2])
    data = chemiscope.create_input(
        structures=[batch[s] for s in range(len(batch))],
        properties=properties,
        metadata={"name": made.store.folder.name, "description": about},
        settings=settings,
    )
    bundle = (Path(chemiscope.__file__).parent / "sphinx" / "static" / "chemiscope.min.js").read_text(encoding="utf-8")
    return _TEMPLATE.format(
        title=_plain(made.store.folder.name),
        bundle=bundle.replace("</script", "<\\/script"),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),  # JavaScript, which knows NaN
    )


def _property(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Return a column as chemiscope takes it; points without a number are drawn without a colour."""
    if values.dtype.kind == "O":
        return {"target": "structure", "values": ["" if value is None else str(value) for value in values]}
    return {"target": "structure", "values": values.astype(np.float64).tolist()}


def _known(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "O":
        return np.array([value is not None for value in values], dtype=np.bool_)
    return np.isfinite(values.astype(np.float64))


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")

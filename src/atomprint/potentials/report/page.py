"""The page on a fitted potential, and the same figures for machines beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from atomprint.potentials.base import Potential
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.report import plots
from atomprint.potentials.report.comparison import QUANTITIES, Comparison, Figures
from atomprint.potentials.report.curves import DimerCurve, VolumeCurve, dimer_curves, volume_curves
from atomprint.report.html import Html, Markup, Section, bullets, captioned, join, minus, paragraph, table, tag
from atomprint.report.style import PAGE, STYLE
from atomprint.util.environment import versions
from atomprint.util.files import write_together
from atomprint.util.plain import plain
from atomprint.util.text import counted, with_unit
from atomprint.util.types import FloatArray, JsonObject, PathOrStr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PotentialReport", "Speed", "measure_speed"]


@dataclass(frozen=True)
class Speed:
    """How long energy, forces and stress take.

    Parameters
    ----------
    n_atoms : int
        Of the structure.
    microseconds : float
        CPU time for an atom, on one thread, with neighbours that are kept.
    """

    n_atoms: int
    microseconds: float


def measure_speed(potential: Potential, labels: LabelledStructures) -> Speed:
    """Return how long a prediction takes, for the structure of the training set whose size is nearest to 64 atoms."""
    batch = labels.structures
    chosen = int(np.argmin(np.abs(batch.n_atoms - 64)))
    prepared = potential.prepare(batch[chosen], n_jobs=1)
    part = batch[chosen : chosen + 1]
    times: list[float] = []
    rng = np.random.default_rng(0)
    end = time.perf_counter() + 0.3
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 200):
        moved = part.positions + rng.normal(scale=1e-3, size=part.positions.shape)
        start = time.process_time()
        prepared.evaluate(moved, part.cells)
        times.append(time.process_time() - start)
    return Speed(len(part.numbers), 1e6 * float(np.min(times)) / len(part.numbers))


@dataclass(frozen=True, eq=False)
class PotentialReport:
    """A fitted potential and how good it is.

    Parameters
    ----------
    title : str
        Heading of the page.
    potential : Potential
        Fitted, with what it was fitted to.
    comparisons : sequence of Comparison
        Predictions beside what is known, the one to judge by last.
    settings : mapping of str to object
        What somebody needs to repeat this.
    warnings, notes : sequence of str
        What is likely to be a mistake, and what was found and chosen, in sentences.
    dimers, volumes : sequence
        Curves in which holes are seen.
    learning_curve : (sequence of int, dict of str to sequence of float), optional
        Numbers of structures, and the errors of a potential that was fitted to so many.
    speed : Speed, optional
        How long a prediction takes.
    """

    title: str
    potential: Potential
    comparisons: Sequence[Comparison]
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    dimers: Sequence[DimerCurve] = ()
    volumes: Sequence[VolumeCurve] = ()
    learning_curve: tuple[Sequence[int], dict[str, Sequence[float]]] | None = None
    speed: Speed | None = None

    @classmethod
    def of(
        cls,
        potential: Potential,
        title: str,
        tests: Sequence[Comparison] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> PotentialReport:
        """Return the report of a potential that has just been fitted.

        Parameters
        ----------
        potential : Potential
            Fitted; what it was fitted to is still known.
        title : str
            Heading of the page.
        tests : sequence of Comparison
            Predictions for structures that it was not fitted to, if there are any.
        settings, warnings
            See the class.
        """
        model, labels = potential.model_, potential.labels_
        validation = cross_validation(potential)
        periodic = bool(labels.structures.pbc.any())
        dimers = dimer_curves(potential, _shortest(potential), periodic=periodic)
        volumes = volume_curves(potential, labels)
        said = [*warnings, *model.summary.get("warnings", ())]
        return cls(
            title,
            potential,
            [*([] if validation is None else [validation]), *tests],
            settings or {},
            list(dict.fromkeys(said)),
            model.summary.get("notes", labels.notes),
            dimers,
            volumes,
            _curve_of(model.summary.get("learning_curve")),
            measure_speed(potential, labels),
        )

    def write(self, folder: PathOrStr) -> dict[str, Path]:
        """Write ``report.html`` and ``results.json`` to a folder, complete or not at all."""
        return write_together(
            Path(folder),
            {
                "results.json": lambda: (
                    json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
                ),
                "report.html": self.html,
            },
        )

    def to_dict(self) -> JsonObject:
        """Return all figures in plain types, for JSON."""
        model = self.potential.model_
        return dict(
            plain(
                {
                    "title": self.title,
                    "versions": versions(),
                    "settings": dict(self.settings),
                    "potential": {
                        "class": type(self.potential).__name__,
                        "parameters": self.potential.get_params(deep=False),
                        "n_functions": model.terms.n_functions,
                        "cutoff": model.cutoff,
                        "hyperparameters": asdict(model.hyperparameters),
                        "references": {chemical_symbols[z]: e for z, e in model.reference_energies.items()},
                    },
                    "training": model.summary,
                    "comparisons": [comparison.to_dict() for comparison in self.comparisons],
                    "learning_curve": self.learning_curve,
                    "dimers": [asdict(curve) for curve in self.dimers],
                    "volumes": [asdict(curve) for curve in self.volumes],
                    "speed": None if self.speed is None else asdict(self.speed),
                    "warnings": list(self.warnings),
                    "notes": list(self.notes),
                }
            )
        )

    def html(self) -> str:
        """Return the page: one file with everything in it, which needs no network."""
        sections = [
            Section("summary", "Summary", self._summary()),
            *self._comparisons(),
            self._curve(),
            self._uncertainty(),
            self._physics(),
            self._data(),
            self._model(),
            Section("making", "How this was made", self._making(), folded=True),
        ]
        kept = [section for section in sections if section is not None]
        return PAGE.format(
            title=escape(self.title),
            style=STYLE,
            lead=escape(self._lead()),
            contents=join(section.contents() for section in kept),
            main=join(section.html() for section in kept),
            footer=escape(f"Made with atomprint {versions().get('atomprint', '')}."),
        )

    def _lead(self) -> str:
        labels = self.potential.labels_
        return (
            f"{type(self.potential).__name__} of {', '.join(labels.species)}, fitted to "
            f"{counted(len(labels), 'structure')} with {counted(len(labels.structures.numbers), 'atom')}."
        )

    def _summary(self) -> Html:
        judged = self.comparisons[-1] if self.comparisons else None
        body: list[Markup] = []
        if judged is not None:
            words = ", ".join(
                f"{quantity.title} {figure(found.mae)} {quantity.unit}"
                for quantity in QUANTITIES
                if (found := judged.figures().get(quantity.name)) is not None
            )
            speed = "" if self.speed is None else f" A step takes {self.speed.microseconds:.3g} µs an atom on one core."
            body.append(paragraph(f"Mean absolute errors, {judged.title}: {words}.{speed}", class_="verdict"))
            body.append(error_table(self.comparisons))
        else:
            body.append(paragraph("There are too few structures to leave some out: how large errors are is not known."))
        body += [paragraph(text, class_="caveat") for text in self.warnings]
        return join(body)

    def _comparisons(self) -> list[Section]:
        found = []
        for number, comparison in enumerate(self.comparisons):
            own = f"comparison-{number}"
            body: list[Markup] = [
                _plot(
                    plots.parity(comparison),
                    f"Predicted against known values of the {comparison.title}",
                    f"Predicted against known values of {counted(len(comparison.labels), 'structure')}, "
                    f"{comparison.title}. Energies are relative to those that the composition alone tells.",
                )
            ]
            if kinds := comparison.by_kind():
                body.append(tag("h3", "By type of configuration"))
                body.append(_plot(plots.errors(kinds, comparison), "Errors by type of configuration"))
                body.append(_groups_table(kinds))
            elements = {symbol: own for symbol, own in comparison.by_element().items() if own}
            if len(elements) > 1:
                body.append(tag("h3", "Forces by element"))
                body.append(_plot(plots.errors(elements, comparison), "Errors of forces by element"))
            if worst := comparison.worst():
                body.append(tag("h3", "Predicted worst"))
                units = {quantity.name: quantity for quantity in QUANTITIES}
                body.append(
                    table(
                        ("structure", "quantity", "RMSE"),
                        [
                            (comparison.labels.places[s], units[name].title, f"{figure(error)} {units[name].unit}")
                            for s, name, error in worst
                        ],
                        numeric_from=2,
                    )
                )
            title = comparison.title[:1].upper() + comparison.title[1:]
            found.append(Section(own, title, join(body)))
        return found

    def _curve(self) -> Section | None:
        if self.learning_curve is None:
            return None
        sizes, curves = self.learning_curve
        return Section(
            "curve",
            "Learning curve",
            _plot(
                plots.learning_curve(sizes, curves),
                "Errors against the number of structures",
                "Errors of structures left out, of fits to fewer folds. Where a curve still falls at its end, more "
                "data help; where it is flat, a larger basis or cutoff may.",
            ),
        )

    def _uncertainty(self) -> Section | None:
        summary = self.potential.model_.summary
        coverage, counts = summary.get("coverage") or {}, summary.get("judged") or {}
        said = [
            f"{100 * share:.0f}\N{NO-BREAK SPACE}% of the {name} of {counted(counts[name], 'structure')}"
            for name, share in coverage.items()
            if share is not None and share == share and name in counts
        ]
        body: list[Markup] = []
        if said:
            body.append(
                paragraph(
                    "Expected errors are scaled by those of structures that were left out, one at a time, so that "
                    "90\N{NO-BREAK SPACE}% are within 1.645 of them. With a scale from others of these structures, "
                    "such intervals hold "
                    f"{', '.join(said)}. Structures that are alike, as those of one run, flatter this."
                )
            )
        whose, shown = self._expected()
        if shown:
            body.append(
                _plot(
                    plots.calibration(shown),
                    "Calibration of expected errors",
                    f"Left: share of errors within intervals of each level, {whose}. Right: errors against expected "
                    "ones, for tenths of the values; both relative to the error of all.",
                )
            )
        return Section("uncertainty", "Expected errors", join(body)) if body else None

    def _expected(self) -> tuple[str, dict[str, tuple[FloatArray, FloatArray]]]:
        """Return whose errors, and these beside what was expected of them: those of a test, or else of the training."""
        for comparison in reversed(self.comparisons):
            parts = {name: v.where(np.isfinite(v.std) & (v.std > 0)) for name, v in comparison.values.items()}
            if shown := {name: (v.errors, v.std) for name, v in parts.items() if len(v.known)}:
                return comparison.title, shown
        found = self.potential.cross_validation_
        shown = {}
        for quantity, values in zip(QUANTITIES, [] if found is None else found.judged.values(), strict=False):
            sizes = values.n_atoms if quantity.name == "energy" else 1.0
            if len(values.errors):
                shown[quantity.name] = values.errors / sizes, values.expected / sizes
        return "structures that were left out", shown

    def _physics(self) -> Section | None:
        body: list[Markup] = []
        if self.dimers:
            body.append(
                _plot(
                    plots.dimers(self.dimers),
                    "Energies of two atoms against their distance",
                    "Two atoms alone. Shaded: below the shortest distance of the training data, where the repulsive "
                    "core takes over; a curve that falls there would be a hole. Linear where the well is, "
                    "logarithmic beyond.",
                )
            )
        if self.volumes:
            body.append(
                _plot(
                    plots.volumes(self.volumes),
                    "Energies against volume",
                    "Training structures of lowest energy, compressed and expanded alike; the circle is what is known. "
                    "A second well at small volumes would be a hole.",
                )
            )
        return Section("physics", "Dimers and equations of state", join(body)) if body else None

    def _data(self) -> Section:
        labels, summary = self.potential.labels_, self.potential.model_.summary
        counts = labels.counts
        names = {"energy": "energies", "forces": "forces (atoms)", "stress": "stresses"}
        rows = [
            (names[kind], labels.keys[kind], f"{counts[kind]:,}") for kind in ("energy", "forces", "stress")
            if kind in labels.keys
        ]  # fmt: skip
        body: list[Markup] = [
            paragraph(labels.summary() + "."),
            table(("label", "key", "known"), rows, numeric_from=2),
            bullets(self.notes) if self.notes else None,
        ]
        if (kinds := summary.get("config_types")) and len(kinds) > 1:
            body.append(
                table(
                    ("type of configuration", "structures"),
                    [(name or "not said", f"{n:,}") for name, n in kinds.items()],
                    numeric_from=1,
                )
            )
        references = self.potential.model_.reference_energies
        body.append(tag("h3", "Reference energies"))
        body.append(paragraph(summary.get("references", {}).get("note", "")))
        body.append(
            table(
                ("element", "energy (eV)"),
                [(chemical_symbols[z], minus(f"{e:.6f}")) for z, e in references.items()],
                numeric_from=1,
            )
        )
        return Section("data", "Data", join(body))

    def _model(self) -> Section:
        model = self.potential.model_
        hyper = asdict(model.hyperparameters)
        rows: list[Sequence[Markup]] = [
            ("class", type(self.potential).__name__),
            ("functions", f"{model.terms.n_functions:,}"),
            ("cutoff", f"{model.cutoff:.3g} Å"),
            ("repulsive core", "none" if model.core is None else "ZBL below the distances of the training data"),
        ]
        rows += [(f"{name.replace('_', ' ')}", f"{value:.4g}") for name, value in hyper.items()]
        rows += [
            (name, repr(value)) for name, value in self.potential.get_params(deep=False).items() if value is not None
        ]
        if self.speed is not None:
            rows.append(
                (
                    "speed",
                    f"{self.speed.microseconds:.3g} µs an atom for energy, forces and stress of "
                    f"{counted(self.speed.n_atoms, 'atom')} on one core",
                )
            )
        return Section("model", "Model", table((), rows))

    def _making(self) -> Html:
        return join(
            [
                paragraph("All figures are in ", tag("code", "results.json"), " beside this file."),
                table((), [(key, str(value)) for key, value in self.settings.items()]),
                tag("h3", "Environment"),
                table((), list(versions().items())),
            ]
        )


def cross_validation(potential: Potential) -> Comparison | None:
    """Return what fits without them say of the structures that a potential was fitted to; None if there were none."""
    found = getattr(potential, "cross_validation_", None)
    if found is None:
        return None
    return Comparison(
        "cross-validation",
        potential.labels_,
        found.energies,
        found.forces,
        found.stresses,
        references=potential.model_.references,
    )


def error_table(comparisons: Sequence[Comparison]) -> Html:
    """Return the errors of all values of each comparison."""
    rows = []
    for comparison in comparisons:
        for quantity in QUANTITIES:
            if (found := comparison.figures().get(quantity.name)) is not None:
                rows.append((comparison.title, with_unit(quantity.title, quantity.unit), *_cells(found)))
    return table(("", "quantity", "MAE", "RMSE", "largest", "values"), rows, numeric_from=2)


def _cells(found: Figures) -> tuple[str, str, str, str]:
    return figure(found.mae), figure(found.rmse), figure(found.largest), f"{found.n:,}"


def _groups_table(groups: Mapping[str, Mapping[str, Figures]]) -> Html:
    shown = [quantity for quantity in QUANTITIES if any(quantity.name in found for found in groups.values())]
    rows = []
    for name, found in groups.items():
        row = [name or "not said"]
        for quantity in shown:
            own = found.get(quantity.name)
            row += ["–", "–"] if own is None else [figure(own.mae), figure(own.rmse)]
        rows.append(row)
    headers = ["type", *(head for _ in shown for head in ("MAE", "RMSE"))]
    spans = [("", 1), *((with_unit(quantity.title, quantity.unit), 2) for quantity in shown)]
    return table(headers, rows, numeric_from=1, spans=spans)


def _plot(drawn: Figure, alt: str, *caption: Markup) -> Html:
    """Return a plot with words below it; a wide one is scrolled where there is no room for it."""
    return captioned(drawn, alt, *caption, large=drawn.get_size_inches()[0] > 5.6)


def figure(value: float) -> str:
    """Return an error with three digits."""
    return minus(f"{value:.3g}" if 1e-4 <= abs(value) < 1e5 or value == 0 else f"{value:.2e}")


def _curve_of(found: Mapping[str, Any] | None) -> tuple[Sequence[int], dict[str, Sequence[float]]] | None:
    """Return sizes and root mean square errors by quantity, in its unit, of at least two fits; else None."""
    if found is None or len(found["n_structures"]) < 2:
        return None
    names = {"energy": "energies", "forces": "forces", "stress": "stresses"}
    curves: dict[str, Sequence[float]] = {
        quantity.name: [quantity.factor * own[names[quantity.name]]["rmse"] for own in found["errors"]]
        for quantity in QUANTITIES
        if all(names[quantity.name] in own for own in found["errors"])
    }
    # Forces of perfect crystals are zero, and have no logarithm.
    curves = {name: errors for name, errors in curves.items() if min(errors) > 1e-9}
    return (list(found["n_structures"]), curves) if curves else None


def _shortest(potential: Potential) -> dict[tuple[str, str], float]:
    """Return the shortest distances of the training data by pair of elements, of pairs that come near each other."""
    known = potential.model_.known
    return {
        (chemical_symbols[a], chemical_symbols[b]): float(known.shortest[i, j])
        for i, a in enumerate(known.species)
        for j, b in enumerate(known.species)
        if i <= j and np.isfinite(known.shortest[i, j])
    }

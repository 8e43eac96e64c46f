"""From labelled structures to a fitted potential with its report: what the command line does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from atomprint.potentials.base import Potential
from atomprint.potentials.labels.alike import first_alike
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.report.comparison import Comparison, compare
from atomprint.potentials.report.page import PotentialReport
from atomprint.structures import joined
from atomprint.util.files import WholeFolder
from atomprint.util.memory import peak_memory
from atomprint.util.progress import Progress, silent
from atomprint.util.text import counted

MODEL_FILE = "potential.npz"
FILES = (MODEL_FILE, "report.html", "results.json")
"""What a fit writes to its folder."""


@dataclass(frozen=True, eq=False)
class PotentialRun:
    """A potential that was fitted, and its report.

    Parameters
    ----------
    potential : Potential
        Fitted.
    report : PotentialReport
        How good it is.
    """

    potential: Potential
    report: PotentialReport

    def write(self, folder: WholeFolder) -> dict[str, Path]:
        """Write the potential and its report, and return the files by name."""

        def write(new: Path) -> None:
            self.potential.save(new / MODEL_FILE)
            self.report.write(new)

        place = folder.write(write)
        return {name: place / name for name in FILES}


def fit_potential(
    potential: Potential,
    labels: LabelledStructures,
    tests: Mapping[str, LabelledStructures],
    *,
    title: str,
    settings: Mapping[str, Any],
    progress: Progress = silent,
    keep: Path | None = None,
) -> PotentialRun:
    """Fit a potential, predict the tests, and make the report.

    Parameters
    ----------
    potential : Potential
        With its parameters.
    labels : LabelledStructures
        What to fit to.
    tests : mapping of str to LabelledStructures
        Structures to be predicted, by what they are called.
    title : str
        Of the report.
    settings : mapping of str to object
        What somebody needs to repeat this; times and memory are added.
    progress : Progress
        Told what is done.
    keep : Path, optional
        A folder for what a fit that is stopped goes on from.

    Returns
    -------
    PotentialRun
        Nothing is written yet.

    Raises
    ------
    ValueError, TypeError
        If the data are of no use to the fit; the message names the structure.
    """
    said = [*overlap(labels, tests)]
    start, cpu = perf_counter(), process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        checkpoint = None if keep is None else keep / "fit.npz"
        potential.fit(labels, learning_curve=True, checkpoint=checkpoint, progress=progress)
    seconds = perf_counter() - start, process_time() - cpu
    said += [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    comparisons: list[Comparison] = []
    for name, test in tests.items():
        progress(f"Predicting the {name}", 0, None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            comparisons.append(compare(potential, test, name))
        said += [f"{name}: {warning.message}" for warning in caught if issubclass(warning.category, UserWarning)]
    progress("Dimers, volumes and speed", 0, None)
    times = {"time of the fit": f"{seconds[0]:.1f} s, {seconds[1]:.1f} s of CPU time"}
    if (peak := peak_memory()) is not None:
        times["peak memory"] = f"{peak:.2f} GB"
    report = PotentialReport.of(potential, title, comparisons, settings={**settings, **times}, warnings=said)
    return PotentialRun(potential, report)


def overlap(labels: LabelledStructures, tests: Mapping[str, LabelledStructures]) -> Sequence[str]:
    """Return in sentences which structures of the tests are fitted to as well."""
    said = []
    for name, test in tests.items():
        n = len(labels)
        first = first_alike(joined(labels.structures, test.structures))[n:]
        seen = np.flatnonzero(first < n).tolist()
        if seen:
            said.append(
                f"{counted(len(seen), 'structure')} of the {name} {'is' if len(seen) == 1 else 'are'} in the training "
                f"data as well ({test.places[seen[0]]}{', …' if len(seen) > 1 else ''}): its errors flatter."
            )
    return said

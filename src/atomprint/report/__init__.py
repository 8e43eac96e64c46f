"""One HTML page with everything in it, and the same results for machines beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomprint.learn.study.study import Study
from atomprint.report.cards import ReportCard, dataset_card, model_card
from atomprint.report.page import page
from atomprint.report.tables import predictions_csv
from atomprint.util.environment import versions
from atomprint.util.files import write_together
from atomprint.util.plain import plain
from atomprint.util.types import JsonObject, PathOrStr

__all__ = ["Report", "versions"]


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
    recipe : str
        The recipe, as text, with everything that was left to defaults.
    reasons : sequence of str
        Why features and models are those of the recipe, in sentences, if they were chosen by the form of the data.
    saved_model : str
        What model cards say of a model that was saved beside the report.
    """

    title: str
    lead: str
    studies: Sequence[Study]
    settings: Mapping[str, Any]
    recipe: str = ""
    reasons: Sequence[str] = ()
    saved_model: str = ""

    def __post_init__(self) -> None:
        if not self.studies:
            raise ValueError("studies must hold at least one study, got none")

    def write(self, folder: PathOrStr) -> dict[str, Path]:
        """Write ``report.html``, ``results.json``, ``predictions.csv`` and ``model-card.md`` to a folder.

        All files are complete before the first of them gets its name: nobody ever sees half of one.

        Parameters
        ----------
        folder : path
            Made if it is not there; files of these names in it are replaced.

        Returns
        -------
        dict of str to Path
            The files by name.
        """
        return write_together(
            Path(folder),
            {
                "predictions.csv": lambda: predictions_csv(self.studies),
                "results.json": lambda: (
                    json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
                ),
                "model-card.md": self.cards,
                "report.html": self.html,
            },
        )

    def html(self) -> str:
        """Return the page: one file with everything in it, which needs no network."""
        return page(
            self.title,
            self.lead,
            self.studies,
            self.settings,
            versions(),
            self.recipe,
            reasons=self.reasons,
            saved_model=self.saved_model,
        )

    def cards(self) -> str:
        """Return the model card and the data-set card of each study as Markdown."""
        found = [card for study in self.studies for card in (self._model_card(study), dataset_card(study))]
        return "\n".join(card.markdown() for card in found)

    def _model_card(self, study: Study) -> ReportCard:
        return model_card(study, versions(), self.saved_model)

    def to_dict(self) -> JsonObject:
        """Return all results in plain types, for JSON."""
        return {
            "title": self.title,
            "versions": versions(),
            "settings": dict(self.settings),
            "recipe": self.recipe,
            "reasons": list(self.reasons),
            "studies": [study.to_dict() | {"failures": plain(study.dataset.failures)} for study in self.studies],
        }

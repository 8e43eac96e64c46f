"""Every prediction as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from atomprint.learn.study.study import Study
from atomprint.util.text import csv_text
from atomprint.util.types import JsonObject


def predictions_csv(studies: Sequence[Study]) -> Iterator[str]:
    """Return ``predictions.csv`` piece by piece: every prediction of a sample that the model had not seen.

    Studies of different kinds have different columns; a cell is empty where a study does not have the column.
    """
    tables: list[Iterable[JsonObject]] = []
    columns: dict[str, None] = {}
    for study in studies:
        rows = study.predictions()
        first = list(islice(rows, 1))
        columns |= dict.fromkeys(key for row in first for key in row)
        tables.append(chain(first, rows))
    return csv_text(list(columns), chain.from_iterable(tables))

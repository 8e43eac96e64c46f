"""Every prediction as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from atomprint.learn.study.study import Study
from atomprint.util.types import JsonObject

_AT_ONCE = 10_000  # rows that are in memory as text at once


def predictions_csv(studies: Sequence[Study]) -> Iterator[str]:
    """Yield ``predictions.csv`` piece by piece: every prediction of a sample that the model had not seen.

    Studies of different kinds have different columns; a cell is empty where a study does not have the column.
    """
    tables: list[Iterable[JsonObject]] = []
    columns: dict[str, None] = {}
    for study in studies:
        rows = study.predictions()
        first = list(islice(rows, 1))
        columns |= dict.fromkeys(key for row in first for key in row)
        tables.append(chain(first, rows))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    everything = chain.from_iterable(tables)
    while some := list(islice(everything, _AT_ONCE)):
        writer.writerows(some)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()

"""Screening: what models say of very many candidates, and which of these are the best."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atomprint.screening.active import SELECTIONS, expected_improvement, spread_out, unknown
from atomprint.screening.candidates import Candidates, Source, opened
from atomprint.screening.ranking import Objective, ranked
from atomprint.screening.scoring import FORMAT, Jury
from atomprint.store import Condition
from atomprint.store.build import PAGES
from atomprint.store.opened import joined
from atomprint.store.rows import Reading
from atomprint.store.where import ELEMENTS
from atomprint.util.extras import require
from atomprint.util.files import written_atomically
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, Indices, PathOrStr
from atomprint.util.validation import check_bool, check_choice, check_integer, check_real, meant
from atomprint.workflow.saved.pipeline import first_table

_POOL = 10  # times as many candidates as are asked for, among which diverse ones are chosen
_MOST_POOL = 20_000
_CHECKSUM = 16  # bytes of a checksum, which is before the Parquet of a part


@dataclass(frozen=True, eq=False)
class Screening:
    """What was found.

    Parameters
    ----------
    best : pyarrow.Table
        The rows that were asked for, from the best on, with ``rank`` from 1; ``front`` with several objectives, from 1;
        ``improvement`` where it was asked for.
    structures : list of Atoms or str
        Their structures, or formulas.
    objectives : sequence of Objective
        What was best.
    n : int
        Number of candidates.
    n_failed : int
        How many could not be read or predicted.
    n_outside : int
        How many are outside the domain of a model.
    n_passed : int
        How many passed all conditions.
    failures : mapping of str to int
        Why candidates failed, the most frequent first.
    table : pyarrow.Table
        All candidates in their order, as :meth:`~atomprint.screening.scoring.Jury.table` describes them.
    units : mapping of str to str
        Of predictions and the ends of their intervals, by their columns.
    """

    best: Any
    structures: list[Any] = field(repr=False)
    objectives: Sequence[Objective]
    n: int
    n_failed: int
    n_outside: int
    n_passed: int
    failures: dict[str, int]
    table: Any = field(repr=False)
    units: dict[str, str] = field(repr=False)

    def __len__(self) -> int:
        return int(self.best.num_rows)


def screen(
    models: Any,
    sources: Any,
    *,
    where: str | None = None,
    by: str | Sequence[str] | None = None,
    top: int = 100,
    in_domain: bool = False,
    max_doubt: float | None = None,
    new: bool = False,
    cautious: bool = False,
    select: str | None = None,
    folder: PathOrStr | None = None,
    structure: str | None = None,
    formula: str | None = None,
    id: str | None = None,
    limit: int | None = None,
    trusted: Sequence[str] = (),
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> Screening:
    """Predict candidates with one or several models, and return the best of those that pass.

    Candidates are read and predicted some at a time, and never all in memory: of each, a row of a table stays.

    Parameters
    ----------
    models : model, file, folder of a run, or sequence of these
        What judges.
    sources : path, FeatureStore, or sequence of these
        Folders of stores, and all that :func:`~atomprint.store.build_store` takes as a source.
    where : str, optional
        Which candidates pass, such as ``"gap > 1 and e_form < 0.05 and 'Pb' not in elements"``: predictions by the
        names of targets (``gap_lower`` and ``gap_upper`` are the ends of their intervals), columns of the sources,
        ``formula``, ``n_atoms`` and ``elements``; see :meth:`~atomprint.store.FeatureStore.where`.
    by : str or sequence of str, optional
        Columns that are to be small, or large with a minus before them. With several, fronts of candidates that no
        other beats in all of them (Pareto). Default: the largest prediction of the first model, for classes the largest
        probability of the last class.
    top : int
        How many.
    in_domain : bool
        Only candidates that are like the training samples of all models.
    max_doubt : float, optional
        Only candidates that no model is more in doubt about: above 1, which one new sample in twenty exceeds, is
        outside the domain.
    new : bool
        Only candidates that no model was trained with.
    cautious : bool
        Rank by the worse ends of intervals.
    select : {"improvement", "uncertainty", "diversity"}, optional
        What to compute next, instead of the best: of the ten times as many candidates with the largest expected
        improvement on all training samples, or the largest doubt, or the best ones, those that differ
        most from each other in the features of the first model.
    folder : path, optional
        Where tables are kept, so that a screening that was stopped goes on; models must be files then.
    structure, formula, id, limit
        See :func:`~atomprint.store.build_store`.
    trusted : sequence of str
        As for :func:`~atomprint.workflow.load_model`.
    n_jobs : int, optional
        Number of threads.
    progress : Progress
        Told the number of candidates.

    Returns
    -------
    Screening

    Raises
    ------
    FileNotFoundError, ImportError
        If there is no such file, or a package is missing.
    ValueError
        If models, conditions or objectives do not fit to each other; or no candidate can be predicted.
    """
    pa = require("pyarrow", "data", "screening")
    check_integer("top", top, 1)
    for name, value in {"in_domain": in_domain, "new": new, "cautious": cautious}.items():
        check_bool(name, value)
    if max_doubt is not None:
        check_real("max_doubt", max_doubt, above=0)
    if select is not None:
        check_choice("select", select, SELECTIONS)
    condition = None if where is None else Condition.read(where)
    jury = Jury.of(models, trusted)
    silent_judges = [judge.name for judge in jury.judges if judge.model.domain.detector is None]
    if max_doubt is not None and silent_judges:
        raise ValueError(f"max_doubt: the model of {silent_judges[0]!r} tells no doubt")
    pages = None if folder is None else Path(folder) / PAGES
    reading = Reading(structure=structure, formula=formula, id=id, limit=limit, pages=pages, words=True)
    keep = None
    if folder is not None:
        if jury.digest is None:
            raise ValueError("folder: models must be given as files, so that it is known which they are")
        keep = Path(folder) / "parts"
        keep.mkdir(parents=True, exist_ok=True)
    given = opened(sources, reading)
    worded = _columns(jury, given)
    objectives = _objectives(by, jury, list(worded))
    _check(jury, given, worded, condition, objectives, cautious, select)  # before long work
    parts: list[Any] = []
    done = 0
    for source in given.values():
        for candidates in source:
            parts.append(_judged(jury, candidates, keep, n_jobs))
            done += len(candidates)
            progress("Predicting", done, None)
    if not parts:
        raise ValueError("sources hold no candidates")
    table = joined(parts)
    for at, name in enumerate(table.column_names):
        if table.column(at).type == pa.null():  # nothing is known of it anywhere
            table = table.set_column(at, name, table.column(at).cast(pa.string() if worded[name] else pa.float64()))
    columns = _arrays(table)
    failed = np.array([value is not None for value in columns["problem"]], dtype=np.bool_)
    if failed.all():
        raise ValueError(f"no candidate can be predicted; {columns['id'][0]}: {columns['problem'][0]}")
    inside = columns["in_domain"].astype(np.bool_)
    passed = ~failed
    if condition is not None:
        passed &= condition.of(columns, len(passed))
    passed &= inside | (not in_domain)
    if max_doubt is not None:
        passed &= columns["doubt"] <= max_doubt
    if new:
        for judge in jury.judges:
            passed &= columns[f"{judge.name}_in_training"] != True  # noqa: E712  # None is not known
    rows, extra = _chosen(jury, columns, np.flatnonzero(passed), objectives, top, cautious, select, given)
    best = table.take(pa.array(rows))
    for name, values in reversed(extra.items()):
        best = best.add_column(0, name, pa.array(values))
    best = best.add_column(0, "rank", pa.array(np.arange(1, len(rows) + 1)))
    words, counts = np.unique(columns["problem"][failed].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return Screening(
        best,
        _items(columns, rows, given),
        objectives,
        len(passed),
        int(failed.sum()),
        int((~inside & ~failed).sum()),
        int(passed.sum()),
        {str(words[at]): int(counts[at]) for at in order},
        table,
        {f"{judge.name}{end}": judge.model.card.unit for judge in jury.judges for end in ("", "_lower", "_upper")},
    )


def _judged(jury: Jury, candidates: Candidates, keep: Path | None, n_jobs: int | None) -> Any:
    """Return the table of some candidates, from the folder if it is there."""
    if keep is None:
        return jury.table(candidates, n_jobs)
    pa, parquet = (require(name, "data", "screening") for name in ("pyarrow", "pyarrow.parquet"))
    about = [FORMAT, jury.digest, candidates.source, candidates.places[0], len(candidates), candidates.name]
    name = hashlib.blake2b(json.dumps(about).encode(), digest_size=_CHECKSUM).hexdigest()
    path = keep / f"{name}.part"
    if path.is_file():
        data = path.read_bytes()
        if data[:_CHECKSUM] == _checksum(data[_CHECKSUM:]):  # or else damaged: made anew
            return parquet.read_table(pa.BufferReader(data[_CHECKSUM:]))
    found = jury.table(candidates, n_jobs)
    buffer = pa.BufferOutputStream()
    parquet.write_table(found, buffer)
    data = buffer.getvalue().to_pybytes()
    with written_atomically(path) as temporary:
        temporary.write_bytes(_checksum(data) + data)
    return found


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM).digest()


def _columns(jury: Jury, sources: Mapping[str, Source]) -> dict[str, bool]:
    """Return the columns that the table of all candidates will have, and whether they are words."""
    found = dict(jury.columns)
    for source in sources.values():
        for name, worded in source.columns.items():
            called = jury.called(name)
            found[called] = found.get(called, False) or worded
    return found


def _check(
    jury: Jury,
    sources: Mapping[str, Source],
    worded: Mapping[str, bool],
    condition: Condition | None,
    objectives: Sequence[Objective],
    cautious: bool,
    select: str | None,
) -> None:
    """Raise unless all sources have what is asked for, and it is of the right kind."""
    asked = {name: "where" for name in ([] if condition is None else condition.names) if name != ELEMENTS}
    known = [*worded, ELEMENTS]
    for name in asked:
        if name not in known:
            raise ValueError(f"where: there is no {name!r}, but {', '.join(known)}{meant(name, known)}")
    asked = {objective.column: "by" for objective in objectives} | asked
    for source in sources.values():
        own = {*jury.columns, *map(jury.called, source.columns)}
        for name, what in asked.items():
            if name not in own:
                has = ", ".join(map(repr, source.columns)) or "nothing besides structures"
                raise ValueError(f"{what}: {source.name} has no {name!r}, as others have; it has {has}")
    some: dict[str, Any] = {
        name: np.array([""], dtype=object) if words else np.nan * np.ones(1) for name, words in worded.items()
    }
    some |= {name: np.zeros(1, dtype=np.bool_) for name in jury.answers}
    _costs(jury, some, objectives, cautious, select)
    if condition is not None:
        condition.of(some, 1)


def _objectives(by: str | Sequence[str] | None, jury: Jury, columns: Sequence[str]) -> list[Objective]:
    if by is None:
        first = jury.judges[0]
        classes = first.model.card.classes
        column = f"{first.name}_p({classes[-1]})" if classes else first.name
        if column not in columns:
            raise ValueError(f"by must be given: {first.name!r} has classes without probabilities")
        return [Objective(column, largest=True)]
    found = [Objective.read(text, columns) for text in ([by] if isinstance(by, str) else by)]
    if not found:
        raise ValueError("by must name at least one column, got none")
    return found


def _chosen(
    jury: Jury,
    columns: dict[str, Any],
    passed: Indices,
    objectives: Sequence[Objective],
    top: int,
    cautious: bool,
    select: str | None,
    sources: Mapping[str, Source],
) -> tuple[Indices, dict[str, Any]]:
    """Return the rows that are asked for, and more columns of them."""
    own = {name: values[passed] for name, values in columns.items()}
    costs = _costs(jury, own, objectives, cautious, select)
    most = top if select is None else min(max(_POOL * top, 100), _MOST_POOL)
    order, fronts = ranked(costs, most)
    if select is not None and len(order) > top:
        items = _items(columns, passed[order], sources)
        picked = spread_out(first_table(jury.judges[0].model.pipeline, items).values, top)
        order, fronts = order[picked], fronts[picked]
    extra: dict[str, Any] = {}
    if len(objectives) > 1 and select not in ("improvement", "uncertainty"):
        extra["front"] = fronts + 1
    if select == "improvement":
        extra["improvement"] = -costs[order, 0]
    return passed[order], extra


def _costs(
    jury: Jury, columns: dict[str, Any], objectives: Sequence[Objective], cautious: bool, select: str | None
) -> FloatArray:
    """Return what is to be small, shape (n_rows, n_objectives): values, or minus what a selection goes by."""
    if select == "improvement":
        judge = next((j for j in jury.judges if j.name == objectives[0].column), None)
        if judge is None or len(objectives) > 1:
            raise ValueError(f"by must be one prediction for select='improvement', got {objectives[0].column!r}")
        return -expected_improvement(judge, columns, objectives[0].largest)[:, None]
    if select == "uncertainty":
        return -unknown(jury.judges, columns)[:, None]
    return np.stack([objective.costs(columns, cautious) for objective in objectives], axis=1)


def _arrays(table: Any) -> dict[str, Any]:
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


def _items(columns: dict[str, Any], rows: Indices, sources: Mapping[str, Source]) -> list[Any]:
    """Return the structures or formulas of rows, read again."""
    found: dict[int, Any] = {}
    for name, source in sources.items():
        own = rows[columns["source"][rows] == name]
        if len(own):
            items = source.items(columns["place"][own].astype(np.int64).tolist())
            found |= dict(zip(own.tolist(), items, strict=True))
    return [found[row] for row in rows.tolist()]

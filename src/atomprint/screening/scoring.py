"""What models say of candidates, as a table: one row for each, whatever became of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from atomprint.descriptors.engine.contract import Descriptor
from atomprint.screening.candidates import Candidates
from atomprint.store import FeatureStore
from atomprint.store.describe import in_words
from atomprint.util.extras import require
from atomprint.workflow.saved.container import find_model, name_of
from atomprint.workflow.saved.load import load_model
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.pipeline import needs_structures

if TYPE_CHECKING:
    from atomprint.workflow.saved.predictions import Predictions

FORMAT = "3"  # of tables: another one gives them other names
FIRST = ("id", "source", "place", "formula", "n_atoms")
"""Columns that all tables begin with."""
LAST = ("doubt", "in_domain", "warnings", "problem")
"""Columns that all tables end with.

The largest doubt of models that tell one, whether a row is in the domain of all, what is unusual, and why there is no
prediction.
"""
_WORDS = ("id", "source", "formula", "warnings", "problem")
_RESERVED = (*FIRST, *LAST, "rank", "front", "improvement", "elements")
_KNOWN = "_known"
_TRIED, _FEW_SHARDS = 3, 100  # rows at the beginning of each so-many-th shard


@dataclass(frozen=True)
class Judge:
    """A model, and what it is called in tables.

    Parameters
    ----------
    name : str
        Of the column with its predictions; others begin with it.
    model : TrainedModel
        The model.
    digest : str
        Of its file; empty if it is from none.
    """

    name: str
    model: TrainedModel
    digest: str = ""


@dataclass(frozen=True)
class Jury:
    """All models of a screening."""

    judges: Sequence[Judge]
    _same: dict[tuple[int, int], bool] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, models: Any, trusted: Sequence[str] = ()) -> Self:
        """Return models, or files or folders of runs that hold them, with names that differ.

        What is ``trusted`` is as for :func:`~atomprint.workflow.load_model`.

        Raises
        ------
        ValueError
            If there is none, or one predicts a property of atoms.
        """
        given = [models] if isinstance(models, str | Path | TrainedModel) else list(models)
        if not given:
            raise ValueError("models must hold at least one model, got none")
        judges: list[Judge] = []
        for item in given:
            digest, stem = "", ""
            if not isinstance(item, TrainedModel):
                path = find_model(item)
                digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
                stem = name_of(path)
                item = load_model(path, trusted=trusted)
            if item.card.level == "atom":
                raise ValueError(f"models: {item.card.target!r} is a property of atoms, and structures are screened")
            taken = {*_RESERVED, *(name for judge in judges for name in _columns(judge, None))}
            judges.append(next(j for j in _called(item, stem, digest) if taken.isdisjoint(_columns(j, None))))
        return cls(judges)

    @property
    def digest(self) -> str | None:
        """What tells the models, and their names, from others; None where one is from no file."""
        found = [(judge.digest, judge.name) for judge in self.judges]
        known = all(digest for digest, _ in found)
        return hashlib.blake2b(json.dumps(found).encode(), digest_size=16).hexdigest() if known else None

    @cached_property
    def columns(self) -> dict[str, bool]:
        """The columns of :meth:`table` but for those of sources, and whether they are words."""
        pa = require("pyarrow", "data", "screening")
        own = dict.fromkeys((*FIRST, *LAST), False) | dict.fromkeys(_WORDS, True)
        for judge in self.judges:
            own |= {name: values.type == pa.string() for name, values in _columns(judge, None).items()}
        return own

    @cached_property
    def answers(self) -> frozenset[str]:
        """Those of the columns that are yes or no."""
        pa = require("pyarrow", "data", "screening")
        columns = [column for judge in self.judges for column in _columns(judge, None).items()]
        return frozenset({"in_domain", *(name for name, values in columns if values.type == pa.bool_())})

    def called(self, name: str) -> str:
        """Return what a column of a source is called in :meth:`table`: no two come to the same name."""
        clashes = re.sub(f"({_KNOWN})+$", "", name) in (*self.columns, *_RESERVED)
        return f"{name}{_KNOWN}" if clashes else name

    def table(self, candidates: Candidates, n_jobs: int | None = None) -> Any:
        """Return what all models say, as a ``pyarrow.Table``.

        Its columns are id, source, place, formula and number of atoms; what is known besides; for each model its
        prediction, named after the target, and ``<target>_lower``, ``_upper``, ``_in_domain``, ``_distance``,
        ``_doubt`` (of models that tell it), ``_in_training``, or ``<target>_p(<class>)`` for classes; the largest of
        their doubts, and whether a row is in the domain of all models; what is unusual; and why a row has no
        prediction.
        """
        pa = require("pyarrow", "data", "screening")
        n = len(candidates)
        columns: dict[str, Any] = {
            "id": pa.array(candidates.ids, pa.string()),
            "source": pa.array([candidates.source] * n, pa.string()),
            "place": pa.array(list(candidates.places), pa.int64()),
            "formula": pa.array(candidates.formulas, pa.string()),
            "n_atoms": pa.array(candidates.n_atoms, pa.int32()),
        }
        for name, values in candidates.columns.items():
            known = [value for value in values if value is not None]
            of = pa.string() if any(isinstance(value, str) for value in known) else pa.float64()
            own = in_words(values) if of == pa.string() else list(values)
            columns[self.called(name)] = pa.array(own, of if known else pa.null())
        problems = [candidates.problems.get(at, "") for at in range(n)]
        inside, doubt = np.ones(n, dtype=np.bool_), np.full(n, np.nan)
        said: list[list[str]] = [[] for _ in range(n)]
        for judge in self.judges:
            found = None
            if candidates.read and isinstance(candidates.items, list) and needs_structures(judge.model.pipeline):
                why = f"{judge.name!r} is predicted from structures, and this is a formula"
                problems = [problem or why for problem in problems]
            elif len(candidates.read):
                known = self._known(judge.model, candidates)
                found = judge.model.predict(candidates.items, on_error="skip", features=known, n_jobs=n_jobs)
                for failure in found.failures:
                    problems[candidates.read[failure.row]] = f"{failure.step}: {failure.reason}"
                for at, sentences in zip(candidates.read, found.warnings, strict=True):
                    said[at] += sentences if not problems[at] else ()
            for name, values in _columns(judge, found).items():
                columns[name] = pa.array(_spread(values, () if found is None else candidates.read, n), values.type)
                if name == f"{judge.name}_in_domain":
                    inside &= np.array([bool(value) for value in columns[name].to_pylist()])
                elif name == f"{judge.name}_doubt":
                    doubt = np.fmax(doubt, columns[name].to_numpy(zero_copy_only=False))
        columns["doubt"] = _numbers(doubt)
        columns["in_domain"] = pa.array(inside & np.array([not problem for problem in problems], dtype=np.bool_))
        columns["warnings"] = pa.array(["; ".join(dict.fromkeys(sentences)) for sentences in said], pa.string())
        columns["problem"] = pa.array([problem or None for problem in problems], pa.string())
        return pa.table(columns)

    def _known(self, model: TrainedModel, candidates: Candidates) -> Any:
        """Return the features of candidates for a model, where they are from a store that has the same; else None."""
        store = candidates.store
        if store is None or store.plan.inputs != "structures":
            return None
        asked = (id(model), id(store))
        if asked not in self._same:
            self._same[asked] = _has_features(store, model)
        return store.features(np.asarray(candidates.places, dtype=np.intp)) if self._same[asked] else None


def _has_features(store: FeatureStore, model: TrainedModel) -> bool:
    """Return whether a store has the features that a model begins with, to the last bit."""
    step = model.pipeline[0]
    if not isinstance(step, Descriptor) or not store.plan.is_of(step):
        return False
    # Whatever else there may be, such as another processor: some of them are made again.
    tried = 0
    for first in store.offsets[:-1:_FEW_SHARDS].tolist():
        rows = range(first, min(first + _TRIED, len(store)))
        try:
            made, kept = step.transform(store.structures(rows)), store.features(rows)
        except ValueError:  # an element that the model does not know
            continue
        if made.dtype != kept.dtype or abs(made - kept).max() != 0:
            return False
        tried += 1
    return tried > 0


def _called(model: TrainedModel, stem: str, digest: str) -> Iterator[Judge]:
    """Yield a model under the names that it may have, the best first."""
    target = model.card.target
    for name in chain((target, stem), (f"{target}_{number}" for number in count(2))):
        if name:
            yield Judge(name, model, digest)


def _columns(judge: Judge, found: Predictions | None) -> Mapping[str, Any]:
    """Return the columns of one model, of the rows that could be read."""
    pa = require("pyarrow", "data", "screening")
    card, name = judge.model.card, judge.name
    none: Any = np.zeros(0)
    interval = card.interval is not None and card.interval.half_width is not None
    made: dict[str, Any] = {}
    if card.classes:
        made[name] = pa.array([] if found is None else found.labels.tolist(), pa.string())
        own = none if found is None or found.probabilities is None else found.probabilities
        if found is None or found.probabilities is not None:
            for at, label in enumerate(card.classes):
                made[f"{name}_p({label})"] = _numbers(own[:, at] if own.ndim == 2 else none)
    else:
        made[name] = _numbers(none if found is None else found.values)
        if interval:
            made[f"{name}_lower"] = _numbers(none if found is None else found.lower)
            made[f"{name}_upper"] = _numbers(none if found is None else found.upper)
    made[f"{name}_in_domain"] = pa.array([] if found is None else found.in_domain.tolist(), pa.bool_())
    made[f"{name}_distance"] = _numbers(none if found is None else found.distance)
    if judge.model.domain.detector is not None:
        made[f"{name}_doubt"] = _numbers(none if found is None else found.doubt)
    seen = none if found is None or found.in_training is None else found.in_training
    made[f"{name}_in_training"] = pa.array(
        seen.tolist() if len(seen) or found is None else [None] * len(found), pa.bool_()
    )
    return made


def _numbers(values: Any) -> Any:
    pa = require("pyarrow", "data", "screening")
    return pa.array(np.asarray(values, dtype=np.float64), from_pandas=True)  # nan is nothing known


def _spread(values: Any, read: Sequence[int], n: int) -> list[Any]:
    """Return values in the places of the rows that they are of."""
    given = values.to_pylist()
    if len(given) == n:
        return list(given)
    spread: list[Any] = [None] * n
    for at, value in zip(read, given, strict=True):
        spread[at] = value
    return spread

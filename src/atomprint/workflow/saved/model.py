"""A trained model that can be saved, loaded, and asked for predictions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from atomprint.datasets.failures import Failure, check_on_error
from atomprint.learn.estimators.widths import Widths
from atomprint.learn.models.anatomy import decision
from atomprint.learn.models.doubt import CLASSES, Signs, as_logs, predict_with_doubt
from atomprint.learn.task.problem import Problem, share_at_lowest
from atomprint.structures import Batch, StructureError, attempt, reason_of
from atomprint.util.notebook import card
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, silent
from atomprint.util.validation import check_integer
from atomprint.workflow.saved.assess import assess
from atomprint.workflow.saved.blocks import Block, failed, gathered
from atomprint.workflow.saved.card import Card, PredictionInterval, Training, digest, installed_versions
from atomprint.workflow.saved.container import write_container
from atomprint.workflow.saved.contents import Content, contents_of
from atomprint.workflow.saved.detector import ERRORS
from atomprint.workflow.saved.distances import training_rows
from atomprint.workflow.saved.domain import Domain
from atomprint.workflow.saved.forests import quickened
from atomprint.workflow.saved.in_short import in_short
from atomprint.workflow.saved.inputs import read_inputs
from atomprint.workflow.saved.persist import dump_pipeline, uses_xgboost
from atomprint.workflow.saved.pipeline import (
    first_table,
    kernel_of,
    needs_structures,
    table_names,
    taken_by,
    with_n_jobs,
)
from atomprint.workflow.saved.predictions import FloatArray, Indices, Predictions
from atomprint.workflow.saved.trained import held_of, pick, training_table

if TYPE_CHECKING:
    from atomprint.learn.evaluation.evaluate import OutOfFold

DOMAIN = "domain.npz"
WIDTHS = "widths.npz"
# Structures whose features are held at once; fewer where those of all their atoms are.
_CHUNK = 256
_CHUNK_OF_ATOMS = 32


class TrainedModel:
    """A fitted pipeline from structures or compositions to predictions, and all that is to be known about it.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; its first step makes features of structures or compositions. :func:`~atomprint.workflow.assemble` joins
        one from features and a model.
    card : Card
        What is predicted, and how the model was made.
    domain : Domain
        What it has seen.
    n_steps : int
        After how many steps there is a table of features: more than one with ``Pooling`` or a structure kernel as a
        step of its own, and for atoms.
    versions : mapping of str to str, optional
        Versions of the packages that it was fitted with. Default: those that are installed.
    widths : Widths, optional
        How wide intervals are, by how difficult a sample is. Default: all are as wide as the card says.

    Raises
    ------
    ValueError, TypeError
        If pipeline, card and domain are not about the same: numbers or classes, atoms or structures, features.

    Examples
    --------
    >>> from atomprint.workflow import load_model
    >>> model = load_model("gaps.atomprint")
    >>> model.predict("new.cif").values.round(1)
    array([7.3])
    """

    def __init__(
        self,
        pipeline: Pipeline,
        card: Card,
        domain: Domain,
        n_steps: int = 1,
        versions: Mapping[str, str] | None = None,
        widths: Widths | None = None,
    ) -> None:
        _check_steps(pipeline)
        self.pipeline = pipeline
        self.card = card
        self.domain = domain
        self.n_steps = check_integer("n_steps", n_steps, 1, len(pipeline.steps) - 1)
        self.versions = installed_versions(xgboost=uses_xgboost(pipeline)) if versions is None else dict(versions)
        self.widths = widths
        self._check()

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        problem: Problem,
        samples: npt.ArrayLike | None = None,
        *,
        table: Any = None,
        uncertainty: Any = None,
        held_out: OutOfFold | None = None,
        groups: Indices | None = None,
        metrics: Mapping[str, Any] | None = None,
        metric: str = "",
        recipe: str = "",
        seed: int | None = None,
        created: str = "",
        notes: Iterable[str] = (),
    ) -> Self:
        """Describe a pipeline that was fitted to samples of a problem.

        Parameters
        ----------
        pipeline : Pipeline
            As for the class.
        problem : Problem
            What it was fitted to.
        samples : array of int, optional
            Indices of the samples that it was fitted to. Default: all.
        table : array or sparse array, optional
            Features of all samples of the problem, or the kernel between them, if they are at hand. Default: those of
            up to 5000 training samples are computed.
        uncertainty : Uncertainty, optional
            Of the study.
        held_out : OutOfFold, optional
            What models of the same kind said of the samples when they had not seen them: by this, the model's own signs
            of doubt are calibrated.
        groups : array of int, optional
            With ``held_out`` the group of each sample of the problem, if it parted no group: new samples are then taken
            to be of other groups.
        metrics, metric, recipe, seed, created, notes
            See :class:`~atomprint.workflow.Card`.

        Returns
        -------
        TrainedModel

        Raises
        ------
        ValueError, TypeError
            If there are no samples, or the pipeline does not fit to the problem.
        """
        _check_steps(pipeline)
        chosen = np.arange(len(problem)) if samples is None else np.asarray(samples, dtype=np.intp)
        if len(chosen) == 0:
            raise ValueError("samples must name at least one sample, got none")
        target, dataset = problem.target, problem.dataset
        y, ids = problem.y[chosen], problem.ids
        structures = np.unique(problem.structures[chosen])
        items = dataset.items
        width = getattr(pipeline.steps[1][1], "n_features_in_", 1)
        some = chosen[training_rows(len(chosen), width)]
        values, n_steps = training_table(pipeline, problem, items, some if table is None else some[:1])
        kernel = kernel_of(pipeline, n_steps)
        if table is not None:
            values = table[some] if kernel is None else table[np.ix_(some, chosen)]
        widths = getattr(uncertainty, "widths", None)
        if (
            widths is not None and widths.expected.n_features != values.shape[1]
        ):  # of other features than those of this model
            uncertainty, widths = uncertainty.constant, None
        card = Card(
            target=problem.target_name,
            title=target.title,
            unit=target.unit,
            definition=target.definition,
            classes=target.classes,
            level=target.level,
            training=Training(
                dataset.name,
                dataset.title,
                len(chosen),
                len(structures),
                digest(ids[i] for i in chosen),
                None if target.classes else (float(y.min()), float(y.max())),
                {name: int((y == i).sum()) for i, name in enumerate(target.classes)},
                None if target.classes else share_at_lowest(y),
            ),
            interval=PredictionInterval.of(uncertainty),
            metrics=metrics or {},
            metric=metric,
            recipe=recipe,
            seed=seed,
            created=created,
            notes=tuple(notes),
        )
        is_geometric = needs_structures(pipeline)
        domain = Domain.fit(
            None if kernel is not None and not kernel.normalize_kernel else values,
            [
                content
                for start in range(0, len(structures), _CHUNK)
                for content in contents_of(pick(items, structures[start : start + _CHUNK]), is_geometric)
            ],
            np.searchsorted(structures, problem.structures[some]),
            kernel=kernel is not None,
            held=None if held_out is None else held_of(held_out, pipeline[n_steps:], values, problem, some, groups),
        )
        return cls(pipeline, card, domain, n_steps, widths=widths)

    # Predictions ------------------------------------------------------------------------------------------------

    def predict(
        self,
        structures: Any,
        *,
        structure: str | None = None,
        folder: str | PathLike[str] | None = None,
        on_error: str = "raise",
        features: Any = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Predictions:
        """Predict new structures or compositions, and say where that is not to be trusted.

        Parameters
        ----------
        structures : structure or composition, sequence of these, file, folder, or Dataset
            ASE ``Atoms``, pymatgen objects, files that ASE reads (all structures in them; of a folder all its files), a
            :class:`~atomprint.structures.Batch`; for models of compositions formulas, too.
        structure : str, optional
            For a table: the column with the structures, or with the names of their files.
        folder : path, optional
            The folder of these files; by default that of the table or one in it.
        on_error : {"raise", "skip"}
            What to do with a structure that cannot be read or described, such as one with an element that the
            descriptor does not know: raise an error, or leave its prediction nan and list it under ``failures``.
        features : array of shape (n_structures, n_features), optional
            What the descriptor makes of the structures, where a store has it already
            (:meth:`atomprint.store.Plan.is_of`): it is not made again.
        n_jobs : int, optional
            Number of threads. Default: as the pipeline was set up.
        progress : Progress
            Called with the number of structures that are done, and of all.

        Returns
        -------
        Predictions

        Raises
        ------
        ValueError
            If a structure cannot be predicted; the message names its number and its id.
        FileNotFoundError
            If there is no such file.
        """
        check_on_error(on_error)
        inputs = read_inputs(structures, taken_by(self.pipeline), structure=structure, folder=folder)
        pipeline = quickened(self.pipeline if n_jobs is None else with_n_jobs(self.pipeline, n_jobs))
        if features is not None and features.shape[0] != len(inputs):
            raise ValueError(f"features must have a row for each of {len(inputs)} structures, got {features.shape[0]}")
        blocks: list[Block] = []
        of_atoms = self.n_steps > 1 or kernel_of(pipeline, self.n_steps) is not None
        step = _CHUNK_OF_ATOMS if of_atoms else _CHUNK

        def compute(run: Sequence[int]) -> Block:
            known = None if features is None else features[run[0] : run[-1] + 1]
            return self._run(pipeline, inputs.part(run[0], run[-1] + 1), run[0], known)

        def reported(structure: int, error: Exception) -> Block:
            reason = reason_of(error)
            if on_error == "raise":
                which = f"structure {structure} ({inputs.ids[structure]!r})"
                raise ValueError(f"{which} cannot be predicted: {reason}") from error
            return failed(structure, reason, len(self.card.classes))

        for start in range(0, len(inputs), step):
            stop = min(start + step, len(inputs))
            blocks += attempt(range(start, stop), compute, reported)
            progress("Predicting", stop, len(inputs))
        return gathered(blocks, inputs, self.card, self.domain)

    def _run(self, pipeline: Pipeline, items: Any, first: int, known: Any = None) -> Block:
        """Predict structures, all or none of them."""
        for s, item in enumerate(() if isinstance(items, Batch) else items):
            if isinstance(item, Failure):
                raise StructureError(s, None, item.reason)
        contents = contents_of(items, needs_structures(pipeline), self.domain.seen or ())
        table, local, n_steps = first_table(pipeline, items, known)
        structures, atoms = np.arange(len(contents)), None
        if self.card.level == "atom":
            if local is None or local.atoms is None:
                raise TypeError("pipeline: a model of atoms must begin with a descriptor that gives LocalFeatures")
            counts = np.diff(local.offsets)
            if not counts.all():
                raise StructureError(int(np.argmin(counts)), None, "none of its atoms is a centre of the descriptor")
            structures, atoms = np.repeat(structures, counts), np.asarray(local.atoms)
        if table.shape[0] != len(structures):
            raise ValueError(f"pipeline: features must have {len(structures)} rows, got {table.shape[0]}")
        values, probabilities, signs = self._evaluate(pipeline[n_steps:], table)
        if not np.isfinite(values).all():
            worst = structures[np.argmin(np.isfinite(values))]
            raise StructureError(worst, None, "the prediction is not a finite number")
        elements = _elements(contents, local, atoms is not None)
        if self.domain.experience is not None:
            guess = 1 - signs.get(CLASSES, np.zeros(len(values))) if self.card.classes else values
            signs = {**signs, ERRORS: self.domain.experience.errors(table, guess, elements)}
        assessment = assess(self.domain, table, contents, structures, self.feature_names, signs, self.card.unit)
        half = None
        if self.widths is not None:
            logs = self.card.interval is not None and self.card.interval.of_logs
            guess, own = as_logs(values, signs) if logs else (values, signs)
            half = self.widths.half_widths(table, guess, elements, own)
        return Block(first + structures, atoms, values, probabilities, assessment, "", half)

    def _evaluate(self, model: Any, table: Any) -> tuple[FloatArray, FloatArray | None, Signs]:
        """Return numbers and what the model is in doubt about, or indices of classes and probabilities."""
        if self.domain.detector is not None or (self.widths is not None and self.widths.expected.doubts):
            given, signs = predict_with_doubt(model, table)
        else:
            given, signs = np.asarray(model.predict(table)), {}
        if given.shape == (table.shape[0], 1):
            given = given[:, 0]
        if not self.card.classes:
            return np.asarray(given, dtype=np.float64), None, signs
        columns = self._class_indices
        order = dict(zip(model.classes_.tolist(), columns, strict=True))
        values = np.array([order[label] for label in given.tolist()], dtype=np.float64)
        probabilities = None
        with suppress(AttributeError):  # of classifiers without probabilities
            found = model.predict_proba(table)
            probabilities = np.zeros((len(values), len(self.card.classes)))
            probabilities[:, columns] = found
            signs = {CLASSES: 1 - probabilities[np.arange(len(values)), values.astype(np.intp)]}
        return values, probabilities, signs

    def try_out(self) -> None:
        """Predict something, so that parts that do not fit together show before they are relied on."""
        n = int(getattr(self.pipeline[self.n_steps], "n_features_in_", self.n_features))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # the numbers mean nothing
            self._evaluate(self.pipeline[self.n_steps :], np.zeros((1, n)))

    # What there is to know --------------------------------------------------------------------------------------

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features; empty for a kernel between structures."""
        return table_names(self.pipeline, self.n_steps)

    @property
    def n_features(self) -> int:
        """Number of the features, or of the structures that a kernel compares with."""
        return len(self.feature_names) or int(getattr(self.pipeline[self.n_steps], "n_features_in_", 0))

    def info(self) -> dict[str, Any]:
        """Return what is to be known about the model, in types of JSON; without the names of features.

        ``decision`` is the ``threshold`` of a classifier of two classes, or those of several by their names; empty
        where the most probable class is predicted.
        """
        return {
            **self.card.to_dict(),
            "kind": self.card.kind,
            "inputs": taken_by(self.pipeline),
            "n_features": self.n_features,
            "pipeline": plain(self.pipeline),
            "decision": decision(self.pipeline, self.card.classes),
            "domain": self.domain.to_dict(),
            "versions": dict(self.versions),
        }

    def __repr__(self) -> str:
        what = f"{self.card.target!r}" + (f" in {self.card.unit}" if self.card.unit else "")
        training = self.card.training
        return f"TrainedModel({what}, trained with {training.n_samples} {self.card.level}s of {training.dataset!r})"

    def _repr_html_(self) -> str:
        return card(f"Model of {self.card.title}", self.in_short())

    def in_short(self) -> Iterator[tuple[str, str]]:
        """Yield what a person wants to know, in ten lines: what each is about, and a text."""
        return in_short(self.card, self.pipeline, self.feature_names, self.info())

    @cached_property
    def _class_indices(self) -> Indices:
        """Index of each of the classifier's classes among those of the target."""
        labels = self.pipeline.classes_.tolist()
        known = {name: i for i, name in enumerate(self.card.classes)} | {i: i for i in range(len(self.card.classes))}
        if any(label not in known for label in labels):
            raise ValueError(f"pipeline: its classes must be among {self.card.classes} or their indices, got {labels}")
        return np.array([known[label] for label in labels], dtype=np.intp)

    def _check(self) -> None:
        """Raise if pipeline, card and domain do not fit together."""
        if is_classifier(self.pipeline) != bool(self.card.classes):
            made = "classes" if is_classifier(self.pipeline) else "numbers"
            raise ValueError(f"pipeline: it predicts {made}, but target {self.card.target!r} is for {self.card.kind}")
        if self.card.classes:
            self._class_indices  # noqa: B018  # checked when it is made
        fitted_to = getattr(self.pipeline[self.n_steps], "n_features_in_", None)
        n = len(self.feature_names)
        if n and fitted_to is not None and n != fitted_to:
            raise ValueError(f"pipeline: it makes {n} features, its model was fitted to {fitted_to}")
        if n and self.domain.n_features not in (None, n):
            raise ValueError(f"domain: it has {self.domain.n_features} features, the pipeline {n}")
        experience = self.domain.experience
        if experience is not None and experience.n_features != (n or fitted_to):
            raise ValueError(
                f"domain: it knows errors by {experience.n_features} features, the pipeline has {n or fitted_to}"
            )
        if self.widths is not None and self.widths.expected.n_features != (n or fitted_to):
            raise ValueError(
                f"widths: they are for {self.widths.expected.n_features} features, the pipeline has {n or fitted_to}"
            )

    # Files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str], *, trusted: Iterable[str] = ()) -> Path:
        """Write the model to one file, a ZIP archive that other tools can look into.

        Parameters
        ----------
        path : str or PathLike
            Such as ``"gaps.atomprint"``. A file of this name is replaced once the new one is complete.
        trusted : iterable of str
            Types of other packages that the pipeline may hold, such as ``"lightgbm.sklearn.LGBMRegressor"``; they are
            needed again in :func:`load_model`.

        Returns
        -------
        Path
            Where the model is.

        Raises
        ------
        TypeError
            If the pipeline holds something that is not safe to load.
        OSError
            If the file cannot be written.

        Notes
        -----
        ``card.json`` is for people: :meth:`info`, the names of the features, and the checksums of the other members.
        ``pipeline.skops`` is the pipeline in the format of skops, models of XGBoost are beside it in the library's own
        format, ``domain.npz`` is the training domain, and ``widths.npz`` how wide intervals are, if that differs from
        sample to sample. There is no pickle. The same training gives the same bytes.
        """
        where = Path(path)
        members = dump_pipeline(self.pipeline, trusted)
        for member, part in ((DOMAIN, self.domain), (WIDTHS, self.widths)):
            if part is not None:
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **part.to_arrays())  # type: ignore[arg-type]
                members[member] = buffer.getvalue()
        features = {"n_steps": self.n_steps, "n": self.n_features, "names": self.feature_names}
        write_container(where, {**self.info(), "features": features}, members)
        return where


def _check_steps(pipeline: Any) -> None:
    if not isinstance(pipeline, Pipeline) or len(pipeline.steps) < 2:
        raise TypeError(f"pipeline must be a Pipeline of features and a model, got {pipeline!r}")


def _elements(contents: Sequence[Content], local: Any, of_atoms: bool) -> npt.NDArray[np.bool_]:
    """Return which elements each structure has, or which each of its centres is."""
    if of_atoms:
        rows = [np.array([z]) for z in np.asarray(local.numbers).tolist()]
    else:
        rows = [np.array(sorted(content.elements), dtype=np.intp) for content in contents]
    found = np.zeros((len(rows), len(chemical_symbols)), dtype=bool)
    for own, row in zip(found, rows, strict=True):
        own[row] = True
    return found

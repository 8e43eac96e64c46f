"""A trained model that can be saved, loaded, and asked for predictions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from atomprint.datasets.failures import Failure, check_on_error
from atomprint.descriptors import Descriptor
from atomprint.learn.estimators.widths import Widths
from atomprint.learn.models.doubt import Signs, predict_with_doubt
from atomprint.learn.task.problem import Problem, share_at_lowest
from atomprint.ragged import owners
from atomprint.structures import Batch, StructureError, attempt, reason_of
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, silent
from atomprint.util.validation import check_integer
from atomprint.workflow.saved.bounds import parts_of
from atomprint.workflow.saved.card import Card, PredictionInterval, Training, check_versions, digest, installed_versions
from atomprint.workflow.saved.container import ModelFileError, describe, read_container, write_container
from atomprint.workflow.saved.contents import contents_of
from atomprint.workflow.saved.distances import training_rows
from atomprint.workflow.saved.domain import Assessment, Content, Domain
from atomprint.workflow.saved.forests import quickened
from atomprint.workflow.saved.inputs import Inputs, read_inputs
from atomprint.workflow.saved.persist import dump_pipeline, load_pipeline, uses_xgboost
from atomprint.workflow.saved.pipeline import (
    first_table,
    kernel_of,
    needs_structures,
    table_names,
    with_n_jobs,
)
from atomprint.workflow.saved.predictions import FloatArray, Indices, Predictions
from atomprint.workflow.saved.schema import load_npz

if TYPE_CHECKING:
    from atomprint.learn.evaluation.evaluate import OutOfFold

"""Called with the number of structures that are done, and the number of all."""

_DOMAIN = "domain.npz"
_WIDTHS = "widths.npz"
# Structures whose features are held at once; fewer where those of all their atoms are.
_CHUNK = 256
_CHUNK_OF_ATOMS = 32
_MOST_FEATURES = 2**26  # where a file names none: 512 MiB for a structure


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
        metrics: Mapping[str, Any] | None = None,
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
        metrics, recipe, seed, created, notes
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
        items = dataset.compositions if dataset.structures is None else dataset.structures
        width = getattr(pipeline.steps[1][1], "n_features_in_", 1)
        some = chosen[training_rows(len(chosen), width)]
        values, n_steps = _training_table(pipeline, problem, items, some if table is None else some[:1])
        kernel = kernel_of(pipeline, n_steps)
        if table is not None:
            values = table[some] if kernel is None else table[np.ix_(some, chosen)]
        widths = getattr(uncertainty, "widths", None)
        if widths is not None and widths.n_features != values.shape[1]:  # of other features than those of this model
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
                for content in contents_of(_pick(items, structures[start : start + _CHUNK]), is_geometric)
            ],
            np.searchsorted(structures, problem.structures[some]),
            kernel=kernel is not None,
            signs=None if held_out is None else _signs(held_out, pipeline[n_steps:], values[:1], some),
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
        inputs = read_inputs(structures, needs_structures(self.pipeline), structure=structure, folder=folder)
        pipeline = quickened(self.pipeline if n_jobs is None else with_n_jobs(self.pipeline, n_jobs))
        if features is not None and features.shape[0] != len(inputs):
            raise ValueError(f"features must have a row for each of {len(inputs)} structures, got {features.shape[0]}")
        blocks: list[_Block] = []
        of_atoms = self.n_steps > 1 or kernel_of(pipeline, self.n_steps) is not None
        step = _CHUNK_OF_ATOMS if of_atoms else _CHUNK

        def compute(run: Sequence[int]) -> _Block:
            known = None if features is None else features[run[0] : run[-1] + 1]
            return self._run(pipeline, inputs.part(run[0], run[-1] + 1), run[0], known)

        def failed(structure: int, error: Exception) -> _Block:
            reason = reason_of(error)
            if on_error == "raise":
                which = f"structure {structure} ({inputs.ids[structure]!r})"
                raise ValueError(f"{which} cannot be predicted: {reason}") from error
            return _failed(structure, reason, len(self.card.classes))

        for start in range(0, len(inputs), step):
            stop = min(start + step, len(inputs))
            blocks += attempt(range(start, stop), compute, failed)
            progress("Predicting", stop, len(inputs))
        return self._gather(inputs, blocks)

    def _run(self, pipeline: Pipeline, items: Any, first: int, known: Any = None) -> _Block:
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
        assessment = self.domain.assess(table, contents, structures, self.feature_names, signs, self.card.unit)
        half = None
        if self.widths is not None:
            elements = _elements(contents, local, atoms is not None)
            half = self.widths.half_widths(table, values, elements, signs)
        return _Block(first + structures, atoms, values, probabilities, assessment, "", half)

    def _evaluate(self, model: Any, table: Any) -> tuple[FloatArray, FloatArray | None, Signs]:
        """Return numbers and what the model is in doubt about, or indices of classes and probabilities."""
        if self.domain.detector is not None or (self.widths is not None and self.widths.doubts):
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
        return values, probabilities, signs

    def _try_out(self) -> None:
        """Predict something, so that parts that do not fit together show before they are relied on."""
        n = int(getattr(self.pipeline[self.n_steps], "n_features_in_", self.n_features))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # the numbers mean nothing
            self._evaluate(self.pipeline[self.n_steps :], np.zeros((1, n)))

    def _gather(self, inputs: Inputs, blocks: list[_Block]) -> Predictions:
        card, interval = self.card, self.card.interval
        structures = np.concatenate([block.structures for block in blocks])
        values = np.concatenate([block.values for block in blocks])
        lowest = -np.inf if card.at_least is None else card.at_least
        clipped = bool((values < lowest).any())
        values = np.maximum(values, lowest)
        names = [inputs.ids[s] for s in structures]
        atoms = None
        if card.level == "atom":
            none = [np.full(len(block.values), -1) if block.atoms is None else block.atoms for block in blocks]
            atoms = np.concatenate(none)
            names = [name if atom < 0 else f"{name}/{atom}" for name, atom in zip(names, atoms, strict=True)]
        probabilities = sets = lower = upper = None
        known = [block.probabilities for block in blocks if not block.failure]
        if card.classes and (not known or known[0] is not None):
            probabilities = np.concatenate(
                [
                    np.full((len(block.values), len(card.classes)), np.nan)
                    if block.probabilities is None
                    else block.probabilities
                    for block in blocks
                ]
            )
        if interval is not None and interval.half_width is not None and not card.classes:
            same = interval.half_width
            half = np.concatenate(
                [np.full(len(block.values), same) if block.half is None else block.half for block in blocks]
            )
            lower, upper = np.maximum(values - half, lowest), values + half
            clipped = clipped or bool((lower == lowest).any())
        if interval is not None and probabilities is not None:
            least = np.array([interval.thresholds.get(name, -np.inf) for name in card.classes])
            sets = (probabilities >= least) & np.isfinite(values)[:, None]
        with_interval = lower is not None or sets is not None
        return Predictions(
            target=card.target,
            title=card.title,
            unit=card.unit,
            classes=card.classes,
            ids=tuple(names),
            structures=structures,
            atoms=atoms,
            values=values,
            lower=lower,
            upper=upper,
            level=interval.level if interval is not None and with_interval else None,
            probabilities=probabilities,
            sets=sets,
            in_domain=np.concatenate([block.assessment.in_domain for block in blocks]),
            distance=np.concatenate([block.assessment.distance for block in blocks]),
            doubt=None
            if self.domain.detector is None
            else np.concatenate(
                [
                    np.full(len(block.values), np.nan) if block.assessment.doubt is None else block.assessment.doubt
                    for block in blocks
                ]
            ),
            warnings=tuple(sentences for block in blocks for sentences in block.assessment.warnings),
            in_training=None
            if self.domain.seen is None
            else np.concatenate([block.assessment.in_training for block in blocks]),
            at_least=lowest if clipped else None,
            failures=tuple(
                Failure(int(block.structures[0]), inputs.ids[int(block.structures[0])], "features", block.failure)
                for block in blocks
                if block.failure
            ),
        )

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
        """Return what is to be known about the model, in types of JSON; without the names of features."""
        return {
            **self.card.to_dict(),
            "kind": self.card.kind,
            "inputs": "structures" if needs_structures(self.pipeline) else "compositions",
            "n_features": self.n_features,
            "pipeline": plain(self.pipeline),
            "domain": self.domain.to_dict(),
            "versions": dict(self.versions),
        }

    def __repr__(self) -> str:
        what = f"{self.card.target!r}" + (f" in {self.card.unit}" if self.card.unit else "")
        training = self.card.training
        return f"TrainedModel({what}, trained with {training.n_samples} {self.card.level}s of {training.dataset!r})"

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
        if self.widths is not None and self.widths.n_features != (n or fitted_to):
            raise ValueError(
                f"widths: they are for {self.widths.n_features} features, the pipeline has {n or fitted_to}"
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
        for member, part in ((_DOMAIN, self.domain), (_WIDTHS, self.widths)):
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


class _Block(NamedTuple):
    """Rows that were predicted together."""

    structures: Indices
    atoms: Indices | None
    values: FloatArray
    probabilities: FloatArray | None
    assessment: Assessment
    failure: str
    half: FloatArray | None = None  # of the width of each interval


def _failed(structure: int, reason: str, n_classes: int) -> _Block:
    nan = np.full(1, np.nan)
    no = np.zeros(1, dtype=bool)
    assessment = Assessment(no, nan, [(f"not predicted: {reason}",)], no)
    return _Block(np.array([structure]), None, nan, None, assessment, reason)


def load_model(path: str | PathLike[str], *, trusted: Iterable[str] = ()) -> TrainedModel:
    """Load a model that :meth:`TrainedModel.save` wrote.

    Parameters
    ----------
    path : str or PathLike
        The file.
    trusted : iterable of str
        Types of other packages that it may hold. Name only those that you know: what they do when they are loaded
        and used is theirs.

    Returns
    -------
    TrainedModel

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is not a saved model, is damaged or was changed, holds types that are not trusted, was written by an
        incompatible version, or its parts do not fit together.
    ImportError
        If XGBoost is needed and not installed.

    Warns
    -----
    VersionWarning
        If the minor versions of scikit-learn or XGBoost are others than when it was saved.

    Notes
    -----
    Checksums find damage, and the list of types keeps files from running code when they are loaded. Neither says who
    made a file: someone who can change one can also change its checksums.
    """
    where = Path(path)
    given, members = read_container(where)
    versions, features = given.get("versions"), given.get("features")
    if not isinstance(versions, dict) or not isinstance(features, dict) or _DOMAIN not in members:
        raise ModelFileError(f"{str(where)!r} is not complete: it needs versions, features and {_DOMAIN}")
    check_versions(versions, str(where))
    card = Card.from_dict(given)
    try:
        domain = Domain.from_arrays(load_npz(members.pop(_DOMAIN)))
        widths = Widths.from_arrays(load_npz(members.pop(_WIDTHS))) if _WIDTHS in members else None
        pipeline = load_pipeline(members, trusted)
        _check_width(pipeline, features)
        model = TrainedModel(pipeline, card, domain, features.get("n_steps", 1), versions, widths)
        names, n_features = model.feature_names, model.n_features
        if features.get("names") != names or features.get("n") != n_features:
            raise ModelFileError(
                f"the card names {features.get('n')} features, the pipeline makes {n_features}"
                + _first_difference(features.get("names"), names)
            )
        model._try_out()
    except ImportError:
        raise
    except Exception as error:  # whatever parts do that do not fit together
        raise ModelFileError(f"{str(where)!r}: {describe(error)}") from error
    return model


def _check_width(pipeline: Pipeline, features: Mapping[str, Any]) -> None:
    """Raise if a descriptor has more features than the card names, before memory is asked for them."""
    names = features.get("names")
    most = len(names) if isinstance(names, list) and names else _MOST_FEATURES
    for part in parts_of(pipeline.steps):
        if isinstance(part, Descriptor) and (n := part.get_number_of_features()) > most:
            raise ModelFileError(f"the card names {most} features, {type(part).__name__} makes {n}")


def _first_difference(listed: Any, made: list[str]) -> str:
    for i, (one, other) in enumerate(zip(listed if isinstance(listed, list) else (), made, strict=False)):
        if one != other:
            return f"; feature {i} is {one!r} there and {other!r} here"
    return ""


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


def _pick(items: Any, rows: Indices) -> Any:
    return items.pick(np.asarray(rows, dtype=np.int64)) if isinstance(items, Batch) else [items[int(i)] for i in rows]


def _signs(held_out: OutOfFold, model: Any, one: Any, samples: Indices) -> Signs:
    """Return what was in doubt about samples when they were held out, nan elsewhere, as far as the model tells it."""
    found = {}
    for name in predict_with_doubt(model, one).signs if held_out.signs else ():
        if name in held_out.signs:
            last = max(samples.max(), held_out.indices.max()) + 1
            counts = np.bincount(held_out.indices, minlength=last)[samples]
            totals = np.bincount(held_out.indices, held_out.signs[name], minlength=last)[samples]
            found[name] = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    return found


def _training_table(pipeline: Pipeline, problem: Problem, items: Any, samples: Indices) -> tuple[Any, int]:
    """Return the features of training samples, and after how many steps they are there."""
    structures, of_sample = np.unique(problem.structures[samples], return_inverse=True)
    table, local, n_steps = first_table(pipeline, _pick(items, structures))
    if problem.atoms is None:
        return table[of_sample], n_steps
    if local is None or local.atoms is None:
        raise TypeError("pipeline: a model of atoms must begin with a descriptor that gives LocalFeatures")
    centre = {
        (int(s), int(atom)): row for row, (s, atom) in enumerate(zip(owners(local.offsets), local.atoms, strict=True))
    }
    try:
        rows = [centre[int(s), int(atom)] for s, atom in zip(of_sample, problem.atoms[samples], strict=True)]
    except KeyError as error:
        raise ValueError(f"pipeline: atom {error.args[0][1]} of a training structure is not a centre") from error
    return table[rows], n_steps

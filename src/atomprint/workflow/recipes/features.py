"""From the ``[features]`` of a recipe to descriptors, and from these to the features of a data set."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import FeatureUnion, Pipeline

from atomprint import kernels
from atomprint.datasets import Dataset, Failure
from atomprint.descriptors import CompositionChannels, ElementProperty, OxidationStates
from atomprint.learn.study.run import plain
from atomprint.learn.task.features import Features, meanings_of
from atomprint.learn.task.problem import Problem
from atomprint.ragged import offsets_of
from atomprint.structures import Batch, as_batch
from atomprint.util.progress import Progress
from atomprint.util.registry import KNOWN, import_class, path_of
from atomprint.workflow.saved.pipeline import LocalUnion, needs_structures

_OF_COMPOSITIONS = (ElementProperty.__name__, CompositionChannels.__name__, OxidationStates.__name__)
_CHUNK = 256  # structures described at once between two messages, and when looking for the one that fails


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """One entry of ``[features]``.

    Parameters
    ----------
    key, title, description : str
        Its name, the name for people, and what it is made of.
    transformer : transformer
        From structures or compositions to rows; not fitted.
    pairwise : bool
        Whether the rows are similarities with all training structures.
    """

    key: str
    title: str
    description: str
    transformer: BaseEstimator
    pairwise: bool = False


def class_of(name: Any, where: str) -> type[Any]:
    """Return the class that a recipe names: one of atomprint, or any other by its import path.

    Raises
    ------
    ValueError
        If there is no such class; the message names the entry.
    """
    known = {key: found.cls for key, found in KNOWN.items() if found.in_recipes}
    if name in known:
        return known[name]
    if isinstance(name, str) and "." in name:
        return import_class(where, name, ("get_params",))
    close = difflib.get_close_matches(str(name), known, n=1)
    raise ValueError(
        f"{where} must be one of {', '.join(map(repr, sorted(known)))}, or an import path such as "
        f"'mypackage.MyDescriptor', got {name!r}" + (f": did you mean {close[0]!r}?" if close else "")
    )


def named_classes(entry: Any) -> Iterator[str]:
    """Yield the classes of other packages that an entry of a recipe names, and those within it.

    Whoever writes a recipe trusts these: the model that is trained with them may hold them.
    """
    if isinstance(entry, list | tuple):
        for item in entry:
            yield from named_classes(item)
    elif isinstance(entry, Mapping):
        for key, value in entry.items():
            if key == "type" and "." in value:
                yield path_of(import_class(key, value, ()))
            elif key == "members":
                yield from named_classes([{"type": item} if isinstance(item, str) else item for item in value])
            else:
                yield from named_classes(value)


def make_transformer(entry: Mapping[str, Any], where: str, defaults: Mapping[str, Any]) -> tuple[BaseEstimator, bool]:
    """Return the transformer that an entry describes, and whether its rows are similarities.

    Parameters
    ----------
    entry : mapping
        ``type`` and parameters; tables with a ``type`` of their own become objects.
    where : str
        Name of the entry, for messages.
    defaults : mapping
        Parameters for those descriptors that have them, unless the entry gives them: ``periodic``, ``n_jobs``.

    Raises
    ------
    ValueError, TypeError
        If there is no such class or parameter, or a value is wrong; the message names the entry.
    """
    parameters = dict(entry)
    cls = class_of(parameters.pop("type"), f"{where}.type")
    accepted = inspect.signature(cls).parameters
    local = parameters.pop("descriptor", None) if issubclass(cls, kernels.StructureKernel) else None
    for name in parameters:
        if name not in accepted:
            raise ValueError(
                f"{where}.{name} is not a parameter of {cls.__name__}, which takes {', '.join(sorted(accepted))}"
            )
    values = {name: _value(value, f"{where}.{name}", defaults) for name, value in parameters.items()}
    values |= {name: value for name, value in defaults.items() if name in accepted and name not in values}
    try:
        made = cls(**values)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{where}: {error}") from error
    if not issubclass(cls, kernels.StructureKernel):
        return made, False
    if not isinstance(local, Mapping) or "type" not in local:
        raise ValueError(
            f'{where}.descriptor must give the local descriptor that {cls.__name__} compares, such as {{type = "SOAP"}}'
        )
    inner, _ = make_transformer(local, f"{where}.descriptor", defaults)
    return Pipeline([("descriptor", inner), ("kernel", made)]), True


def _value(value: Any, where: str, defaults: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping) and "type" in value:
        return make_transformer(value, where, defaults)[0]
    if not isinstance(value, list) or not value or not isinstance(value[0], str | Mapping):
        return value
    return tuple(_value(item, f"{where}[{number}]", defaults) for number, item in enumerate(value))


def feature_sets(
    entries: Mapping[str, Mapping[str, Any]], dataset: Dataset, level: str, n_jobs: int
) -> tuple[list[FeatureSet], dict[str, dict[str, Any]]]:
    """Return the feature sets that a recipe asks for, and its entries with what was settled by the data.

    Parameters
    ----------
    entries : mapping of str to mapping
        The section ``[features]``.
    dataset : Dataset
        What is to be described.
    level : {"structure", "atom"}
        Whether there is to be a row for each structure, or for each atom.
    n_jobs : int
        Number of threads of the descriptors; -1 means all cores.

    Raises
    ------
    ValueError, TypeError
        If an entry is wrong, or needs structures that the data set does not have; the message names the entry.
    """
    resolved = {key: dict(entry) for key, entry in entries.items()}
    sets: dict[str, FeatureSet] = {}
    union = LocalUnion if level == "atom" else FeatureUnion
    for key, entry in resolved.items():
        if "join" in entry:
            continue
        where = f"features.{key}"
        if dataset.structures is not None:
            _settle_periodic(entry, where, dataset)
        transformer, pairwise = make_transformer(entry, where, {"n_jobs": n_jobs})
        if not hasattr(transformer, "transform"):
            raise ValueError(f"{where}.type must be a class with fit and transform, got {entry['type']!r}")
        if dataset.structures is None and needs_structures(transformer):
            raise ValueError(
                f"{where}: {entry['type']} needs structures, but data set {dataset.name!r} has compositions only; "
                f"{' and '.join(_OF_COMPOSITIONS)} work without structures"
            )
        sets[key] = FeatureSet(key, key, _describe(entry), transformer, pairwise)
    chosen = []
    hidden = {part for entry in resolved.values() if entry.get("only_joined") for part in entry["join"]}
    for key, entry in resolved.items():
        if "join" not in entry:
            chosen += [] if key in hidden else [sets[key]]
            continue
        parts = [sets[part] for part in entry["join"]]
        weights = dict(entry.get("weights", {}))
        if any(part.pairwise for part in parts):
            raise ValueError(f"features.{key}.join: similarities of a kernel cannot be joined with other features")
        if weights and level == "atom":
            raise ValueError(f"features.{key}.weights are for features of structures, not of atoms")
        options = {"transformer_weights": weights} if weights else {}
        chosen.append(
            FeatureSet(
                key,
                key,
                "; ".join(
                    f"{part.key}: {part.description}"
                    + (f", times {weights[part.key]:g}" if part.key in weights else "")
                    for part in parts
                ),
                union([(part.key, part.transformer) for part in parts], **options),
            )
        )
    return chosen, resolved


def _settle_periodic(entry: dict[str, Any], where: str, dataset: Dataset) -> None:
    """Write down whether a descriptor sees periodic images, if the recipe leaves it to the data."""
    inner = entry.get("descriptor")
    if isinstance(inner, Mapping) and "type" in inner:
        entry["descriptor"] = dict(inner)
        _settle_periodic(entry["descriptor"], f"{where}.descriptor", dataset)
    cls = class_of(entry["type"], f"{where}.type")
    if "periodic" in entry or "periodic" not in inspect.signature(cls).parameters:
        return
    pbc = periodic_directions(dataset)
    if pbc.all() or not pbc.any():
        entry["periodic"] = bool(pbc.any())
        return
    raise ValueError(
        f"{where}.periodic must be given: {int(pbc.all(axis=1).sum())} of {len(pbc)} structures repeat in all "
        f"directions, {int((~pbc.any(axis=1)).sum())} in none"
    )


def periodic_directions(dataset: Dataset) -> npt.NDArray[np.bool_]:
    """Return along which lattice vectors each structure of a data set repeats, shape (n_structures, 3)."""
    structures = dataset.structures
    return structures.pbc if isinstance(structures, Batch) else as_batch(structures, periodic=None).pbc


def _describe(entry: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name} = {_words(value)}" for name, value in entry.items() if name not in ("type", "n_jobs"))
    return f"{entry['type']}({given})"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return _describe(value) if "type" in value else str(plain(value))
    if isinstance(value, list):
        return f"[{', '.join(_words(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(plain(value))


def inputs_of(dataset: Dataset) -> Any:
    """Return what descriptors are given: the structures, or where there are none the compositions."""
    return dataset.compositions if dataset.structures is None else dataset.structures


def drop_failures(dataset: Dataset, sets: Sequence[FeatureSet], progress: Progress) -> tuple[Dataset, list[Failure]]:
    """Return the data set without the structures that one of the descriptors refuses, and why it does."""
    failures: dict[int, Failure] = {}
    for given in sets:
        inputs = inputs_of(dataset)
        transformer = clone(given.transformer)
        first = transformer.steps[0][1] if given.pairwise else transformer
        for start in range(0, len(dataset), _CHUNK):
            rows = [i for i in range(start, min(start + _CHUNK, len(dataset))) if i not in failures]
            progress(f"Checking structures for {given.key}", start, len(dataset))
            try:
                first.fit_transform([inputs[i] for i in rows])
            except (ValueError, TypeError):
                for row in rows:
                    try:
                        first.fit_transform([inputs[row]])
                    except (ValueError, TypeError) as error:
                        reason = f"{given.key}: {error}".replace("structure 0", "structure").replace(
                            "composition 0", "composition"
                        )
                        failures[row] = Failure(row, dataset.ids[row], "features", reason)
    if not failures:
        return dataset, []
    kept = [i for i in range(len(dataset)) if i not in failures]
    if not kept:
        first_failure = next(iter(failures.values()))
        raise ValueError(f"no structure of {dataset.name!r} can be described: {first_failure.reason}")
    found = [failures[row] for row in sorted(failures)]
    return replace(dataset.take(kept), failures=(*dataset.failures, *found)), found


def compute_features(given: FeatureSet, problem: Problem) -> tuple[Features, BaseEstimator]:
    """Compute one feature set for all samples of a problem.

    Returns
    -------
    features : Features
        One row for each sample.
    transformer : transformer
        Fitted to all structures of the samples: it learns which elements there are and how large structures get,
        nothing else.

    Raises
    ------
    ValueError, TypeError
        If a structure cannot be described, or the rows do not fit the target.
    """
    dataset, transformer = problem.dataset, clone(given.transformer)
    start = perf_counter()
    needed = np.unique(problem.structures)
    inputs = inputs_of(dataset if len(needed) == len(dataset) else dataset.take(needed))
    try:
        values = transformer.fit_transform(inputs)
    except (ValueError, TypeError) as error:
        hint = '; on_error = "skip" in [data] leaves such structures out' if "structure" in str(error) else ""
        raise type(error)(f"features.{given.key}: {error}{hint}") from error
    values = _rows(given, problem, needed, values)
    names = () if given.pairwise else list(transformer.get_feature_names_out())
    return (
        Features(
            given.key,
            given.title,
            given.description,
            values,
            names,
            perf_counter() - start,
            plain(transformer),
            pairwise=given.pairwise,
            blocks=_blocks(transformer),
            meanings=None if given.pairwise else meanings_of(transformer),
        ),
        transformer,
    )


def joined_parts(transformer: BaseEstimator) -> dict[str, Any]:
    """Return the transformers whose features are joined, by their names; empty if a transformer joins none."""
    if isinstance(transformer, FeatureUnion):
        return dict(transformer.transformer_list)
    return dict(transformer.transformers) if isinstance(transformer, LocalUnion) else {}


def _blocks(transformer: BaseEstimator) -> dict[str, tuple[int, int]]:
    """Return the columns of each of joined features."""
    blocks, start = {}, 0
    for name, part in joined_parts(transformer).items():
        stop = start + len(part.get_feature_names_out())
        if stop > start:
            blocks[name] = (start, stop)
        start = stop
    return blocks


def _rows(given: FeatureSet, problem: Problem, needed: npt.NDArray[np.intp], values: Any) -> Any:
    """Return one row for each sample."""
    one_each = getattr(values, "ndim", 0) == 2 and values.shape[0] == len(needed)
    if problem.atoms is None:
        if one_each:
            return values
        raise ValueError(
            f"features.{given.key} has a row for each atom, target {problem.target_name!r} one value for each "
            'structure: give the descriptor average = "inner" or "outer", or pooling = "mean"'
        )
    if one_each or given.pairwise:
        raise ValueError(
            f"features.{given.key} has one row for each structure, target {problem.target_name!r} values for atoms: "
            "use a local descriptor (SOAP, ACSF, LMBTR) without average and pooling"
        )
    counts = [len(rows) for rows in values]
    firsts = offsets_of(counts)
    place = np.searchsorted(needed, problem.structures)
    return np.concatenate([np.asarray(rows) for rows in values])[firsts[place] + problem.atoms]

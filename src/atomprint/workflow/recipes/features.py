"""The ``[features]`` of a recipe, and the descriptors that they name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from atomprint import kernels
from atomprint.datasets import Dataset
from atomprint.descriptors.composition.contract import CompositionDescriptor
from atomprint.descriptors.molecular.contract import MolecularDescriptor
from atomprint.util import objects
from atomprint.util.estimators import named_parts
from atomprint.util.objects import class_of
from atomprint.util.plain import plain
from atomprint.util.registry import KNOWN, import_class, path_of
from atomprint.util.validation import check_bool, check_choice, check_real
from atomprint.workflow.recipes.data_traits import periodic_directions
from atomprint.workflow.recipes.sections import named_tables, typed
from atomprint.workflow.saved.pipeline import KINDS, LocalUnion, taken_by

_LISTED = 6  # values of a parameter that are told one by one


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """One set of features to compare.

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


def named_classes(entry: Any) -> Iterator[str]:
    """Yield the classes of other packages that an entry of a recipe names, and those within it.

    Whoever writes a recipe trusts these: the model that is trained with them may hold them.
    """
    if isinstance(entry, list | tuple):
        for item in entry:
            yield from named_classes(item)
    elif isinstance(entry, Mapping):
        for key, value in entry.items():
            if key == "type" and isinstance(value, str) and "." in value:
                yield path_of(import_class(key, value, ()))
            elif key == "members":
                yield from named_classes([{"type": item} if isinstance(item, str) else item for item in value])
            else:
                yield from named_classes(value)


@dataclass(frozen=True)
class DescriptorSection:
    """``[features.KEY]`` with a ``type``: a descriptor, or a kernel that compares what a local descriptor gives.

    Parameters
    ----------
    key : str
        Its name in the recipe.
    type : str
        Name of a class of :mod:`atomprint.descriptors`, or of a kernel; or the import path of another class.
    parameters : mapping of str to object
        Its parameters; tables among them that have a type of their own are objects, too.
    title, description : str or None
        For reports. Default: the key, and what the class says of itself, with the parameters.
    """

    key: str
    type: str
    parameters: Mapping[str, Any]
    title: str | None = None
    description: str | None = None

    @property
    def _table(self) -> dict[str, Any]:
        return {"type": self.type, **self.parameters}

    def to_dict(self) -> dict[str, Any]:
        """Return the table."""
        return {**_titles(self), **self._table}

    def suited_to(self, dataset: Dataset) -> Self:
        """Return the section with whether periodic images are seen, where that is left to the data."""
        if dataset.structures is None:
            return self
        return replace(self, parameters=_with_periodic(self._table, f"features.{self.key}", dataset))

    def build(self, dataset: Dataset, n_jobs: int) -> FeatureSet:
        """Return the features, not computed yet; an error names the entry."""
        where = f"features.{self.key}"
        transformer, pairwise = make_object(self._table, where, n_jobs)
        if not hasattr(transformer, "transform"):
            raise ValueError(f"{where}.type must be a class with fit and transform, got {self.type!r}")
        taken = taken_by(transformer)
        if dataset.structures is None and KINDS.index(taken) < KINDS.index(dataset.kind):
            enough = CompositionDescriptor | (MolecularDescriptor if dataset.kind == "molecules" else NoneType)
            others = [key for key, known in KNOWN.items() if issubclass(known.cls, enough)]
            raise ValueError(
                f"{where}: {self.type} needs {taken}, but data set {dataset.name!r} has {dataset.kind} only; "
                f"{' and '.join(others)} work without {taken}"
            )
        description = _described(self._table, where) if self.description is None else self.description
        return FeatureSet(self.key, self.title or self.key, description, transformer, pairwise)


def make_object(table: Mapping[str, Any], where: str, n_jobs: int) -> tuple[BaseEstimator, bool]:
    """Return the object that a table with a type describes, and whether it compares structures.

    Then it is a pipeline of the local ``descriptor`` and the kernel.

    Raises
    ------
    ValueError, TypeError
        If there is no such class or parameter, or a value is wrong; the message names the entry.
    """
    cls = class_of(table["type"], f"{where}.type")
    compares = issubclass(cls, kernels.StructureKernel)
    own = {name: value for name, value in table.items() if not (compares and name == "descriptor")}
    made = objects.make_object(own, where, n_jobs, lambda *part: make_object(*part)[0])
    if not compares:
        return made, False
    local = table.get("descriptor")
    if not isinstance(local, Mapping) or "type" not in local:
        raise ValueError(
            f'{where}.descriptor must give the local descriptor that {cls.__name__} compares, such as {{type = "SOAP"}}'
        )
    return Pipeline([("descriptor", make_object(local, f"{where}.descriptor", n_jobs)[0]), ("kernel", made)]), True


def _with_periodic(table: Mapping[str, Any], where: str, dataset: Dataset) -> dict[str, Any]:
    """Return the parameters of a table with whether periodic images are seen, if the data tell."""
    parameters = {name: value for name, value in table.items() if name != "type"}
    local = parameters.get("descriptor")
    if isinstance(local, Mapping) and "type" in local:
        inner = _with_periodic(local, f"{where}.descriptor", dataset)
        parameters["descriptor"] = {"type": local["type"], **inner}
    accepted = inspect.signature(class_of(table["type"], f"{where}.type")).parameters
    if "periodic" in accepted and "periodic" not in parameters:
        pbc = periodic_directions(dataset)
        if pbc.any() and not pbc.all():
            raise ValueError(
                f"{where}.periodic must be given: {int(pbc.all(axis=1).sum())} of {len(pbc)} structures repeat in all "
                f"directions, {int((~pbc.any(axis=1)).sum())} in none"
            )
        parameters["periodic"] = bool(pbc.any())
    return parameters


def _described(table: Mapping[str, Any], where: str) -> str:
    """Return what a table with a type stands for: the first sentence of its class, and its parameters in words."""
    told = (inspect.getdoc(class_of(table["type"], f"{where}.type")) or "").partition("\n\n")[0]
    summary = " ".join(re.sub(r"\[\d+\]_|:\w+:|`|;.*", "", told, flags=re.DOTALL).split()).rstrip(".") or str(
        table["type"]
    )
    given = [_in_words(name, value) for name, value in table.items() if name not in ("type", "n_jobs")]
    return f"{summary} ({'; '.join(filter(None, given))})" if any(given) else summary


def _in_words(name: str, value: Any) -> str:
    """Return a parameter in words: "n_max 8"; of objects within it only what they are."""
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if isinstance(value, list) and len(value) > _LISTED:
        return f"{len(value)} {name}"
    words = _value_in_words(value)
    return words if words.startswith(f"{name} ") else f"{name} {words}"


def _value_in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(value.get("type", value.get("function", "")))).lower()
        method = value.get("method")
        if not (kind or method):
            return ", ".join(f"{k} {v}" for k, v in value.items())
        switched_on = (key.replace("_", " ") for key, on in value.items() if on is True)
        return ", ".join([f"{kind} by {method}" if method else kind, *switched_on])
    if isinstance(value, list):
        return ", ".join(map(_value_in_words, value))
    return str(plain(value))


@dataclass(frozen=True)
class JoinSection:
    """``[features.KEY]`` with ``join``: other features beside each other.

    Parameters
    ----------
    key : str
        Its name in the recipe.
    join : tuple of str
        Keys of the others.
    weights : mapping of str to float
        What some of them are multiplied by.
    only_joined : bool
        Whether those that are joined are not tried alone.
    title, description : str or None
        See :class:`DescriptorSection`.
    """

    key: str
    join: tuple[str, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    only_joined: bool = False
    title: str | None = None
    description: str | None = None

    @classmethod
    def read(cls, key: str, entry: Mapping[str, Any], others: Sequence[str]) -> Self:
        """Return the section that a table describes, which can join the other features named."""
        where = f"features.{key}"
        extra = sorted(set(entry) - {"join", "only_joined", "weights", "title", "description"})
        if extra:
            raise ValueError(f"{where} joins other features and takes no parameters of its own, got {', '.join(extra)}")
        parts = entry["join"]
        if not isinstance(parts, Sequence) or isinstance(parts, str) or len(parts) < 2 or len(set(parts)) < len(parts):
            raise ValueError(f"{where}.join must be a list of at least two different features, got {parts!r}")
        for part in parts:
            check_choice(f"{where}.join", part, others)
        check_bool(f"{where}.only_joined", entry.get("only_joined", False))
        weights = entry.get("weights", {})
        if not isinstance(weights, Mapping):
            raise TypeError(f"{where}.weights must be a table of numbers, got {weights!r}")
        for part, weight in weights.items():
            check_choice(f"{where}.weights", part, tuple(parts))
            check_real(f"{where}.weights.{part}", weight, above=0)
        for name in ("title", "description"):
            typed(entry.get(name, ""), "str", f"{where}.{name}")
        return cls(key, **{**entry, "join": tuple(parts)})

    def to_dict(self) -> dict[str, Any]:
        """Return the table."""
        options = {"only_joined": self.only_joined, "weights": dict(self.weights)}
        return {**_titles(self), "join": list(self.join), **{name: given for name, given in options.items() if given}}

    def suited_to(self, dataset: Dataset) -> Self:
        """Return the section: it leaves nothing to the data."""
        return self

    def build(self, parts: Sequence[FeatureSet], level: str) -> FeatureSet:
        """Return the features, not computed yet, of which these are the parts."""
        if any(part.pairwise for part in parts):
            raise ValueError(f"features.{self.key}.join: similarities of a kernel cannot be joined with other features")
        if self.weights and level == "atom":
            raise ValueError(f"features.{self.key}.weights are for features of structures, not of atoms")
        made = "; ".join(
            f"{part.key}: {part.description}"
            + (f", times {self.weights[part.key]:g}" if part.key in self.weights else "")
            for part in parts
        )
        union = LocalUnion if level == "atom" else FeatureUnion
        options = {"transformer_weights": dict(self.weights)} if self.weights else {}
        transformer = union([(part.key, part.transformer) for part in parts], **options)
        return FeatureSet(self.key, self.title or self.key, self.description or made, transformer)


FeatureSection = DescriptorSection | JoinSection


def _titles(section: FeatureSection) -> dict[str, str]:
    given = {"title": section.title, "description": section.description}
    return {name: value for name, value in given.items() if value is not None}


def read_features(value: Any) -> dict[str, FeatureSection]:
    """Return the sections of ``[features]``; none where they are left to the data."""
    tables = named_tables(value, "features", "soap")
    single = [key for key, table in tables.items() if "join" not in table]
    sections: dict[str, FeatureSection] = {}
    for key, table in tables.items():
        where = f"features.{key}"
        if ("type" in table) == ("join" in table):
            raise ValueError(f'{where} must have either a type, such as type = "SOAP", or join = [other features]')
        if "join" in table:
            sections[key] = JoinSection.read(key, table, [other for other in single if other != key])
        else:
            words = ("type", "title", "description")
            given = {name: typed(table.pop(name), "str", f"{where}.{name}") for name in words if name in table}
            sections[key] = DescriptorSection(key, parameters=table, **given)
    return sections


def build_features(
    sections: Mapping[str, FeatureSection], dataset: Dataset, level: str, n_jobs: int
) -> list[FeatureSet]:
    """Return the features that sections name, not computed yet; an error names the entry.

    Parameters
    ----------
    sections : mapping of str to section
        The sections, suited to the data.
    dataset : Dataset
        The data.
    level : {"structure", "atom"}
        Whether there is to be a row for each structure, or for each atom.
    n_jobs : int
        Number of threads of the descriptors; -1 means all cores.
    """
    single = {key: section for key, section in sections.items() if isinstance(section, DescriptorSection)}
    sets = {key: section.build(dataset, n_jobs) for key, section in single.items()}
    joins = {key: section for key, section in sections.items() if isinstance(section, JoinSection)}
    made = {key: section.build([sets[part] for part in section.join], level) for key, section in joins.items()}
    hidden = {part for section in joins.values() if section.only_joined for part in section.join}
    return [(sets | made)[key] for key in sections if key not in hidden]


def joined_parts(transformer: BaseEstimator) -> dict[str, Any]:
    """Return the transformers whose features are joined, by their names; empty if a transformer joins none."""
    return {} if isinstance(transformer, Pipeline) else named_parts(transformer)

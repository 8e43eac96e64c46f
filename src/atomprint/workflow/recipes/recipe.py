"""Recipes: everything that a training run depends on, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, Self

from atomprint.learn.models.search import Search
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.task.metrics import METRICS, primary_metric
from atomprint.util.text import in_words
from atomprint.util.validation import check_bool, check_choice, check_integer, check_n_jobs, check_real
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.features import FeatureSection, read_features
from atomprint.workflow.recipes.models import ModelSection, read_models
from atomprint.workflow.recipes.own_data import DescribedData, describe_data
from atomprint.workflow.recipes.sections import (
    AUTO,
    as_toml,
    check_entries,
    comment,
    entry_types,
    override,
    read_section,
    toml_text,
    typed,
)
from atomprint.workflow.recipes.target import TargetSection


@dataclass(frozen=True, slots=True)
class EvaluationSection:
    """``[evaluation]``: what is found out about the best model.

    Parameters
    ----------
    learning_curve : bool or None
        Whether to fit it to parts of the training data, too. None: yes, or by the number of samples if features or
        models are left to the data as well.
    n_repeats : int or None
        How often each group of features is scrambled for its importance; 0 for not at all. None: 5, or by the number of
        samples.
    shap : bool
        Whether to compute SHAP values (extra ``shap``).
    level : float
        Share of true values that prediction intervals are to hold.
    metric : str or None
        The figure of merit by which models are compared and thresholds are chosen: "mae", "rmse", "r2" or "max_error";
        "balanced_accuracy", "accuracy", "f1", "mcc", "roc_auc" or "pr_auc". None: the first of these.
    n_choose : int
        Where there is no test part and several features or models, they are compared within each training part, on at
        most so many of its samples.
    """

    learning_curve: bool | None = None
    n_repeats: int | None = None
    shap: bool = False
    level: float = 0.9
    metric: str | None = None
    n_choose: int = 5000

    def __post_init__(self) -> None:
        if self.learning_curve is not None:
            check_bool("evaluation.learning_curve", self.learning_curve)
        check_bool("evaluation.shap", self.shap)
        if self.n_repeats is not None:
            check_integer("evaluation.n_repeats", self.n_repeats, 0)
        check_integer("evaluation.n_choose", self.n_choose, 10)
        if self.metric is not None:
            check_choice("evaluation.metric", self.metric, [name for known in METRICS.values() for name in known])
        if not 0 < check_real("evaluation.level", self.level) < 1:
            raise ValueError(f"evaluation.level must be between 0 and 1, got {self.level}")

    def suited_to(self, kind: str) -> Self:
        """Return the section with the figure of merit for a kind of problem; raise if it has one of another kind."""
        if self.metric is not None:
            check_choice("evaluation.metric", self.metric, tuple(METRICS[kind]))
        return replace(self, metric=self.metric or primary_metric(kind))

    def options(self) -> dict[str, Any]:
        """Return what :func:`atomprint.learn.run_study` takes; nothing may be left to the data any more."""
        entries = asdict(self)
        return {"curve": entries.pop("learning_curve"), **entries}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Parameters
    ----------
    data, target, split, search, evaluation
        The sections of these names.
    features : mapping of str to FeatureSection
        ``[features.KEY]``, as :meth:`from_dict` makes them of tables: sets of features to compare. ``type`` names a
        class of :mod:`atomprint.descriptors`, another by its import path, or a kernel (with ``descriptor = {type =
        …}``), other entries are its parameters; or ``join = [KEY, …]`` puts other sets beside each other, ``weights =
        {KEY = …}`` multiplied by these numbers. ``title`` and ``description`` are for people. None given (in a file
        also ``features = "auto"``): chosen by the form of the data, see :func:`atomprint.workflow.auto_recipe`.
    models : mapping of str to ModelSection
        ``[models.KEY]``: models to compare. ``type`` (by default the key) is a name in
        :data:`atomprint.learn.MODELS` or the import path of an estimator; ``space`` gives choices to the search,
        ``blocks`` names those of joined features that the model sees, other entries are parameters. None given (or
        ``models = "auto"``): chosen by the form of the data.
    title, question : str
        Heading of the report, and what is asked of the models.
    pretrained : tuple of str
        Weights of pretrained potentials, such as ``"sevennet-0"``, whose embeddings are added to the features, and
        models that see them to the models; see :class:`~atomprint.descriptors.PretrainedEmbedding`. A recipe that was
        carried out names them among its features instead.
    seed : int
        Seed of everything that is random.
    n_jobs : int
        Number of threads; -1 means all cores. Results do not depend on it.
    minutes : float or None
        How long a run may take. What does not fit is left out, and said, see
        :func:`~atomprint.workflow.runs.economy.economise`. None: as long as it takes. A recipe that was carried out
        names what was done instead.
    output : str
        Folder for the results, relative to the working directory.
    """

    data: DataSection
    features: Mapping[str, FeatureSection] = field(default_factory=dict)
    models: Mapping[str, ModelSection] = field(default_factory=dict)
    target: TargetSection = field(default_factory=TargetSection)
    split: SplitSettings = field(default_factory=SplitSettings)
    search: Search = field(default_factory=partial(Search, "none"))
    evaluation: EvaluationSection = EvaluationSection()
    title: str = ""
    question: str = ""
    pretrained: tuple[str, ...] = ()
    seed: int = 0
    n_jobs: int = -1
    minutes: float | None = None
    output: str = "atomprint-run"

    def __post_init__(self) -> None:
        tables = [
            ("data", self.data),
            ("target", self.target),
            ("split", self.split),
            ("search", self.search),
            ("evaluation", self.evaluation),
        ]
        tables += [(f"features.{key}", section) for key, section in self.features.items()]
        tables += [(f"models.{key}", section) for key, section in self.models.items()]
        for where, section in tables:
            if isinstance(section, Mapping):
                raise TypeError(f"{where} must be a section: Recipe.from_dict makes them of tables, got {section!r}")
        check_integer("seed", self.seed, 0, 2**32 - 1)
        check_n_jobs(self.n_jobs)
        if self.minutes is not None:
            check_real("minutes", self.minutes, above=0)
        for key, model in self.models.items():
            if model.space is not None and self.search.method == "none":
                raise ValueError(f'models.{key}.space needs a search: set method = "grid" or "random" in [search]')

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Return the recipe that a table of tables describes; unknown entries are errors."""
        if not isinstance(table, Mapping):
            raise TypeError(f"the recipe must be a table, got {table!r}")
        types = entry_types(cls)
        check_entries(table, types, "")
        values = {
            name: _SECTIONS[name](value) if name in _SECTIONS else typed(value, types[name], name)
            for name, value in table.items()
        }
        if "data" not in values:
            raise ValueError("data is missing: a recipe needs [data]")
        return cls(**values)

    @classmethod
    def auto(cls, data: str | PathLike[str], target: str | None = None, overrides: Iterable[str] = ()) -> Self:
        """Return a recipe for data, with features, models and evaluation left to their form.

        Parameters
        ----------
        data : path or str
            A file or folder, or the name of a data set that atomprint knows.
        target : str, optional
            Column or key to predict. Default: the likeliest one of a file, the only one of a known data set.
        overrides : iterable of str
            Entries to replace, as for :meth:`read`.

        Returns
        -------
        Recipe
            :func:`~atomprint.workflow.runs.train` fills in the rest, and writes the whole of it.

        Raises
        ------
        FileNotFoundError, ValueError, TypeError
            If there is no such file or column, nothing in it can be a target, or an override is wrong.
        """
        return cls.of(describe_data(data, target), overrides)

    @classmethod
    def of(cls, described: DescribedData, overrides: Iterable[str] = ()) -> Self:
        """Return a recipe for described data, as :meth:`auto` does; it can be carried out from anywhere."""
        section = described.section
        if section.path is not None:
            section = replace(section, path=str(Path(section.path).absolute()))
        if section.folder is not None:
            section = replace(section, folder=str(Path(section.folder).absolute()))
        return cls(section, title=described.title).replaced(overrides)

    @classmethod
    def read(cls, path: str | PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Read a recipe.

        Parameters
        ----------
        path : path
            A TOML file. A relative ``data.path`` in it is relative to its folder.
        overrides : iterable of str
            Entries to replace, such as ``"models.forest.n_estimators=500"``; values are TOML, or else text.

        Returns
        -------
        Recipe

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError, TypeError
            If it is not TOML, or an entry is unknown or wrong; the message names the file and the entry.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"recipe: no such file: {str(path)!r}; atomprint init writes one")
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not a TOML file: {in_words(error, 'it is not text in UTF-8')}") from error
        try:
            for text in overrides:
                override(table, text)
            recipe = cls.from_dict(table)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}: {error}") from error
        given = {text.partition("=")[0].strip() for text in overrides}
        places = {name: getattr(recipe.data, name) for name in ("path", "folder") if f"data.{name}" not in given}
        places = {name: str((path.parent / place).absolute()) for name, place in places.items() if place is not None}
        return replace(recipe, data=replace(recipe.data, **places))

    @classmethod
    def shipped(cls, name: str, overrides: Iterable[str] = ()) -> Self:
        """Return a recipe that comes with atomprint; overrides as for :meth:`read`."""
        with resources.as_file(resources.files("atomprint.workflow") / "recipes" / f"{name}.toml") as path:
            return cls.read(path, overrides)

    def replaced(self, overrides: Iterable[str]) -> Self:
        """Return the recipe with some entries replaced, as for :meth:`read`."""
        table = self.to_dict()
        for name in ("features", "models"):
            if table[name] == AUTO:
                del table[name]
        for text in overrides:
            override(table, text)
        return type(self).from_dict(table)

    def to_dict(self) -> dict[str, Any]:
        """Return all entries, defaults included, as tables of plain values; entries that are None are left out."""
        result: dict[str, Any] = as_toml(
            {
                **{name: getattr(self, name) for name in ("title", "question", "seed", "n_jobs", "minutes", "output")},
                "pretrained": list(self.pretrained) or None,
                **{name: asdict(getattr(self, name)) for name in ("data", "target", "split")},
                "search": {name: getattr(self.search, name) for name in _OF_SEARCH},
                "evaluation": asdict(self.evaluation),
                **{
                    name: {key: section.to_dict() for key, section in getattr(self, name).items()} or AUTO
                    for name in ("features", "models")
                },
            }
        )
        return result

    def to_toml(self, comments: Iterable[str] = ()) -> str:
        """Return the recipe as the text of a TOML file, defaults included, below comments if there are any."""
        return comment(comments) + toml_text(self.to_dict())


_OF_SEARCH = ("method", "n_iter", "n_folds", "scoring")  # a search has a space and a seed besides
_SECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "data": partial(read_section, DataSection, where="data"),
    "features": read_features,
    "models": read_models,
    "target": partial(read_section, TargetSection, where="target"),
    "split": partial(read_section, SplitSettings, where="split"),
    "search": partial(read_section, Search, where="search", names=_OF_SEARCH, method="none"),
    "evaluation": partial(read_section, EvaluationSection, where="evaluation"),
}

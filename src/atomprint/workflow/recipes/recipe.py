"""Recipes: everything that a training run depends on, in one TOML file."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, Self

from atomprint.util.validation import check_bool, check_choice, check_integer, check_n_jobs, check_real


@dataclass(frozen=True, slots=True)
class DataSection:
    """``[data]``: the structures or compositions, and the target.

    Parameters
    ----------
    name : str or None
        A data set that atomprint knows (``atomprint data list``); or
    path : str or None
        a file or folder of your own, relative to the recipe. With ``name``, a copy of that data set.
    target : str or None
        The column or key to predict; may be left out where a data set has only one.
    structure, formula, id : str or None
        Columns or keys with the structures, the formulas and the names, for ``path``.
    groups : tuple of str
        Further columns, by which ``[split]`` can group.
    unit, title : str or None
        Unit of the target, and what it is in words.
    classes : tuple of str
        Classes in their order, the positive one last, if the target is a category.
    format : str or None
        Format of the file, if its name does not tell.
    sample : int or None
        Take only so many rows, drawn with the seed: for trying things out.
    on_error : {"raise", "skip"}
        Whether a row that cannot be used stops the run, or is left out and listed in the report.
    """

    name: str | None = None
    path: str | None = None
    target: str | None = None
    structure: str | None = None
    formula: str | None = None
    id: str | None = None
    groups: tuple[str, ...] = ()
    unit: str | None = None
    title: str | None = None
    classes: tuple[str, ...] = ()
    format: str | None = None
    sample: int | None = None
    on_error: str = "raise"

    def __post_init__(self) -> None:
        if self.name is None and self.path is None:
            raise ValueError("data must have a name (of a known data set) or a path (of your own file)")
        if self.sample is not None:
            check_integer("data.sample", self.sample, 1)
        check_choice("data.on_error", self.on_error, ("raise", "skip"))


@dataclass(frozen=True, slots=True)
class SplitSection:
    """``[split]``: what is set aside for testing; see :func:`atomprint.learn.splits.split.make_split`."""

    method: str = "random"
    test_size: float = 0.2
    n_folds: int = 5
    group_by: str | None = None

    def __post_init__(self) -> None:
        check_choice("split.method", self.method, ("random", "stratified", "group", "official", "time"))
        check_real("split.test_size", self.test_size, at_least=0)
        check_integer("split.n_folds", self.n_folds, 0)


@dataclass(frozen=True, slots=True)
class SearchSection:
    """``[search]``: how hyperparameters are chosen within each training part.

    Parameters
    ----------
    method : {"none", "grid", "random", "optuna"}
        ``"none"`` takes the parameters as they are.
    n_iter : int
        Number of trials of ``"random"`` and ``"optuna"``.
    n_folds : int
        Folds of the inner cross-validation.
    scoring : str or None
        A scorer of scikit-learn; by default the figure by which models are compared.
    """

    method: str = "none"
    n_iter: int = 20
    n_folds: int = 3
    scoring: str | None = None

    def __post_init__(self) -> None:
        check_choice("search.method", self.method, ("none", "grid", "random", "optuna"))
        check_integer("search.n_iter", self.n_iter, 1)
        check_integer("search.n_folds", self.n_folds, 2)


@dataclass(frozen=True, slots=True)
class EvaluationSection:
    """``[evaluation]``: what is found out about the best model.

    Parameters
    ----------
    learning_curve : bool or None
        Whether to fit it to parts of the training data, too. None: yes, or by the number of samples if features or
        models are left to the data as well.
    n_repeats : int or None
        How often each group of features is scrambled for its importance. None: 5, or by the number of samples.
    shap : bool
        Whether to compute SHAP values (extra ``shap``).
    level : float
        Share of true values that prediction intervals are to hold.
    n_choose : int
        Where there is no test part and several features or models, they are compared within each training part, on at
        most so many of its samples.
    """

    learning_curve: bool | None = None
    n_repeats: int | None = None
    shap: bool = False
    level: float = 0.9
    n_choose: int = 5000

    def __post_init__(self) -> None:
        if self.learning_curve is not None:
            check_bool("evaluation.learning_curve", self.learning_curve)
        check_bool("evaluation.shap", self.shap)
        if self.n_repeats is not None:
            check_integer("evaluation.n_repeats", self.n_repeats, 1)
        check_integer("evaluation.n_choose", self.n_choose, 10)
        if not 0 < check_real("evaluation.level", self.level) < 1:
            raise ValueError(f"evaluation.level must be between 0 and 1, got {self.level}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Parameters
    ----------
    data, split, search, evaluation
        The sections of these names.
    features : mapping of str to mapping
        ``[features.KEY]``: sets of features to compare. ``type`` names a class of :mod:`atomprint.descriptors` or a
        kernel (with ``descriptor = {type = …}``), other entries are its parameters; or ``join = [KEY, …]`` puts other
        sets beside each other, ``weights = {KEY = …}`` multiplied by these numbers. None given (in a file also
        ``features = "auto"``): chosen by the form of the data, see :func:`atomprint.workflow.auto_recipe`.
    models : mapping of str to mapping
        ``[models.KEY]``: models to compare. ``type`` (by default the key) is a name in
        :data:`atomprint.learn.MODELS` or the import path of an estimator; ``space`` gives choices to the search,
        ``blocks`` names those of joined features that the model sees, other entries are parameters. None given (or
        ``models = "auto"``): chosen by the form of the data.
    title : str
        Heading of the report.
    seed : int
        Seed of everything that is random.
    n_jobs : int
        Number of threads; -1 means all cores. Results do not depend on it.
    output : str
        Folder for the results, relative to the working directory.
    """

    data: DataSection
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split: SplitSection = field(default_factory=SplitSection)
    search: SearchSection = field(default_factory=SearchSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    title: str = ""
    seed: int = 0
    n_jobs: int = -1
    output: str = "atomprint-run"

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 0, 2**32 - 1)
        check_n_jobs(self.n_jobs)
        for key, entry in self.features.items():
            where = f"features.{key}"
            if ("type" in entry) == ("join" in entry):
                raise ValueError(f'{where} must have either a type, such as type = "SOAP", or join = [other features]')
            if "join" in entry:
                self._check_join(where, key, entry)

    def _check_join(self, where: str, key: str, entry: Mapping[str, Any]) -> None:
        others = [other for other in self.features if other != key and "join" not in self.features[other]]
        extra = sorted(set(entry) - {"join", "only_joined", "weights"})
        if extra:
            raise ValueError(f"{where} joins other features and takes no parameters of its own, got {', '.join(extra)}")
        parts = entry["join"]
        if not isinstance(parts, Sequence) or isinstance(parts, str) or len(parts) < 2 or len(set(parts)) < len(parts):
            raise ValueError(f"{where}.join must be a list of at least two different features, got {parts!r}")
        for part in parts:
            check_choice(f"{where}.join", part, others)
        weights = entry.get("weights", {})
        if not isinstance(weights, Mapping):
            raise TypeError(f"{where}.weights must be a table of numbers, got {weights!r}")
        for part, weight in weights.items():
            check_choice(f"{where}.weights", part, tuple(parts))
            check_real(f"{where}.weights.{part}", weight, above=0)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Return the recipe that a table of tables describes; unknown entries are errors."""
        return _section(cls, table, "")

    @staticmethod
    def auto(data: str | PathLike[str], target: str | None = None, overrides: Iterable[str] = ()) -> Recipe:
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
        from atomprint.workflow.recipes.own_data import describe_data

        return describe_data(data, target).recipe(overrides)

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
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a TOML file: {error}") from error
        try:
            for override in overrides:
                _override(table, override)
            recipe = cls.from_dict(table)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}: {error}") from error
        where = recipe.data.path
        if where is None or any(override.partition("=")[0].strip() == "data.path" for override in overrides):
            return recipe
        return replace(recipe, data=replace(recipe.data, path=str((path.parent / where).absolute())))

    def replaced(self, overrides: Iterable[str]) -> Self:
        """Return the recipe with some entries replaced, as for :meth:`read`."""
        table = {name: value for name, value in self.to_dict().items() if name not in _EXAMPLES or value != AUTO}
        for override in overrides:
            _override(table, override)
        return type(self).from_dict(table)

    def to_dict(self) -> dict[str, Any]:
        """Return all entries, defaults included, as tables of plain values; entries that are None are left out."""
        scalars = {name: getattr(self, name) for name in ("title", "seed", "n_jobs", "output")}
        sections = {name: asdict(getattr(self, name)) for name in ("data", "split", "search", "evaluation")}
        chosen = {name: getattr(self, name) or AUTO for name in _EXAMPLES}
        result: dict[str, Any] = _plain({**scalars, **sections, **chosen})
        return result

    def to_toml(self, comments: Iterable[str] = ()) -> str:
        """Return the recipe as the text of a TOML file, defaults included, below comments if there are any."""
        from atomprint.util.extras import require

        text: str = require("tomli_w", "models").dumps(self.to_dict())
        return comment(comments) + text


AUTO = "auto"
"""What stands in a recipe for features or models that are left to the data."""


def comment(sentences: Iterable[str]) -> str:
    """Return sentences as comments of a TOML file, each beginning a line."""
    return "".join(
        textwrap.fill(" ".join(sentence.split()), 118, initial_indent="# ", subsequent_indent="# ") + "\n"
        for sentence in sentences
    )


_EXAMPLES = {"features": "soap", "models": "ridge"}
_TABLES: Mapping[str, type] = {
    "data": DataSection,
    "split": SplitSection,
    "search": SearchSection,
    "evaluation": EvaluationSection,
}


def _section(cls: type, table: Any, where: str) -> Any:
    """Return an object of a class whose fields are the entries of a table."""
    if not isinstance(table, Mapping):
        raise TypeError(f"{where or 'the recipe'} must be a table, got {table!r}")
    known = {f.name: f for f in fields(cls)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        full = f"{where}.{name}" if where else name
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(
                f"{full} is not an entry of a recipe{hint}: {where or 'there'} may have {', '.join(known)}"
            )
        if cls is Recipe and name in _TABLES:
            value = _section(_TABLES[name], value, full)
        elif cls is Recipe and name in _EXAMPLES:
            value = _tables(value, full)
        else:
            value = _typed(value, str(known[name].type), full)
        values[name] = value
    for name, f in known.items():
        if name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{name} is missing: a recipe needs [data]")
    return cls(**values)


def _tables(value: Any, where: str) -> dict[str, dict[str, Any]]:
    if value == AUTO:
        return {}
    if isinstance(value, Mapping) and not value:
        raise ValueError(
            f"{where} must have at least one entry, such as [{where}.{_EXAMPLES[where]}], or be left out to be chosen"
        )
    if not isinstance(value, Mapping) or not all(isinstance(entry, Mapping) for entry in value.values()):
        raise TypeError(f'{where} must be "auto" or hold tables, such as [{where}.{_EXAMPLES[where]}], got {value!r}')
    return {str(key): dict(entry) for key, entry in value.items()}


_TYPES: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _typed(value: Any, annotation: str, where: str) -> Any:
    """Return a value if it is of the type that a field is annotated with."""
    name = annotation.removesuffix(" | None")
    if name.startswith("tuple"):
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"{where} must be a list of strings, got {value!r}")
        return tuple(value)
    if not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and name != "bool"):
        words = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}[name]
        raise TypeError(f"{where} must be {words}, got {value!r}")
    return value


def _override(table: dict[str, Any], text: str) -> None:
    """Replace one entry of a table of tables."""
    name, equals, value = text.partition("=")
    parts = [part.strip() for part in name.split(".")]
    if not equals or not all(parts):
        raise ValueError(f"an override must look like models.forest.n_estimators=500, got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"override {text!r}: {part} is not a table")
    table[parts[-1]] = parsed


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value

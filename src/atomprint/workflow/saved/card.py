"""What is to be known about a trained model besides the model itself."""

from __future__ import annotations

import hashlib
import math
import platform
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from atomprint.learn.task.metrics import METRICS, primary_metric
from atomprint.learn.task.problem import LowerLimit, lower_limit
from atomprint.util.plain import plain
from atomprint.util.validation import check_bool, check_choice, check_real
from atomprint.workflow.saved.container import ModelFileError, describe
from atomprint.workflow.saved.pipeline import LEVELS

_PACKAGES = ("atomprint", "numpy", "scipy", "scikit-learn", "ase", "skops")
# What fitted models are made of: their parts may change with these.
_FITTED_BY = ("scikit-learn", "xgboost")


class VersionWarning(UserWarning):
    """A model was saved with other versions than those that are installed."""


@dataclass(frozen=True)
class PredictionInterval:
    """How wide the interval around a prediction is, or which classes are in its set; see ``learn.uncertainty``.

    Parameters
    ----------
    level : float
        The share of new samples whose truth is to be inside, such as 0.9.
    half_width : float or None
        For numbers: half of the width of the interval, in the unit of the target; its mean over held-out samples where
        it goes by how difficult a sample is.
    thresholds : mapping of str to float
        For classes: one is in the set of a sample if its probability is at least this. A class without a threshold
        is in every set.
    method : str
        How this was found, in words.
    coverage : float or None
        Share of held-out samples that were inside.
    half_widths : (float, float) or None
        For numbers: what 5 % and 95 % of held-out samples have at most; None where all intervals are equally wide.
    why_constant : str
        Why they are.
    of_logs : bool
        Whether these are of natural logarithms: an interval reaches from the prediction divided by the exponential of
        half of its width to the prediction times that.
    """

    level: float
    half_width: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    method: str = ""
    coverage: float | None = None
    half_widths: tuple[float, float] | None = None
    why_constant: str = ""
    of_logs: bool = False

    def __post_init__(self) -> None:
        if not 0 < check_real("level", self.level) < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")
        if self.half_width is not None:
            check_real("half_width", self.half_width, at_least=0)
        if self.coverage is not None:
            check_real("coverage", self.coverage)
        if self.half_widths is not None:
            low, high = (check_real("half_widths", value, at_least=0) for value in self.half_widths)
            object.__setattr__(self, "half_widths", (low, high))
        for name in ("method", "why_constant"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be text, got {getattr(self, name)!r}")
        check_bool("of_logs", self.of_logs)
        for name, threshold in self.thresholds.items():
            check_real(f"threshold of {name!r}", threshold)

    @classmethod
    def of(cls, uncertainty: Any) -> Self | None:
        """Return the interval of a study's ``Uncertainty``; None if it has nothing to say about new samples."""
        if uncertainty is None:
            return None
        thresholds = {name: metric.value for name, metric in uncertainty.thresholds.items()}
        thresholds = {name: float(value) for name, value in thresholds.items() if _is_finite(value)}
        half_width, coverage = uncertainty.half_width.value, uncertainty.coverage.value
        if not thresholds and not _is_finite(half_width):
            return None
        return cls(
            float(uncertainty.level),
            float(half_width) if _is_finite(half_width) else None,
            thresholds,
            str(uncertainty.method),
            float(coverage) if _is_finite(coverage) else None,
            getattr(uncertainty, "half_widths", None),
            getattr(uncertainty, "why_constant", ""),
            getattr(uncertainty, "of_logs", False),
        )


@dataclass(frozen=True)
class Training:
    """What a model was trained with.

    Parameters
    ----------
    dataset, title : str
        Short name of the data set, and in words.
    n_samples, n_structures : int
        Number of samples (structures or atoms) and of the structures that they are of.
    ids_sha256 : str
        Digest of the names of the samples, one a line: whether two models have seen the same.
    target_range : (float, float) or None
        Smallest and largest value of the target, for numbers.
    counts : mapping of str to int
        Number of samples of each class.
    share_at_lowest : float or None
        For numbers the share of the samples that have the smallest value; 0 if it is a single one, None in files of
        earlier versions.
    """

    dataset: str
    title: str
    n_samples: int
    n_structures: int
    ids_sha256: str
    target_range: tuple[float, float] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    share_at_lowest: float | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model predicts, from what, how it was made and how good it is.

    Parameters
    ----------
    target : str
        Short name of the target.
    title, unit, definition : str
        As those of the :class:`~atomprint.datasets.Target`.
    classes : tuple of str
        Names of the classes; empty for a number.
    level : {"structure", "atom"}
        What has the target.
    training : Training
        What the model was trained with.
    interval : PredictionInterval or None
        How sure predictions are.
    metrics : mapping
        How good the model is on samples that it has not seen, as the study reports it; any types of JSON.
    metric : str
        The figure of merit by which it was chosen, a key of :data:`~atomprint.learn.METRICS`. Default: the first of its
        kind, as in files of earlier versions.
    recipe : str
        The resolved recipe, as TOML.
    seed : int or None
        Seed of everything that was random.
    created : str
        When, as the caller says it.
    notes : tuple of str
        What else a user must know, such as caveats of the study.
    """

    target: str
    title: str
    unit: str
    training: Training
    definition: str = ""
    classes: tuple[str, ...] = ()
    level: str = "structure"
    interval: PredictionInterval | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""
    recipe: str = ""
    seed: int | None = None
    created: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("level", self.level, LEVELS)
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError(f"classes must be none, or two or more different names, got {self.classes}")
        object.__setattr__(self, "metric", self.metric or primary_metric(self.kind))
        check_choice("metric", self.metric, tuple(METRICS[self.kind]))

    @property
    def kind(self) -> str:
        """``"classification"`` if there are classes, else ``"regression"``."""
        return "classification" if self.classes else "regression"

    @property
    def at_least(self) -> float | None:
        """What the target cannot be less than; None if nothing is known."""
        return None if self.limit is None else self.limit.value

    @property
    def limit(self) -> LowerLimit | None:
        """What the target cannot be less than, and why, see :func:`~atomprint.learn.task.problem.lower_limit`."""
        seen = self.training.target_range
        if self.classes or seen is None:
            return None
        return lower_limit((self.target, self.title), seen[0], self.training.share_at_lowest)

    def to_dict(self) -> dict[str, Any]:
        """Return the card in types of JSON."""
        return dict(plain(self))

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make a card from what :meth:`to_dict` returned; other keys are ignored.

        Raises
        ------
        ModelFileError
            If something is missing or wrong.
        """
        try:
            own = {item.name: given[item.name] for item in fields(cls) if item.name != "metric" or "metric" in given}
            for name, kinds in _KINDS.items():
                if not isinstance(own[name], kinds):
                    raise TypeError(f"{name} must not be {own[name]!r}")
            training, interval = own["training"], own["interval"]
            for name, kinds in _KINDS_OF_TRAINING.items():
                if not isinstance(training[name], kinds) or isinstance(training[name], bool):
                    raise TypeError(f"{name} must not be {training[name]!r}")
            seen = training["target_range"]
            if seen is not None:
                low, high = (check_real("target_range", value) for value in seen)
                training = training | {"target_range": (low, high)}
            if training.get("share_at_lowest") is not None:
                check_real("share_at_lowest", training["share_at_lowest"], at_least=0)
            for name in ("classes", "notes"):
                own[name] = tuple(own[name])
                if not all(isinstance(item, str) for item in own[name]):
                    raise TypeError(f"{name} must be text, got {own[name]!r}")
            own["training"] = Training(**training)
            own["interval"] = None if interval is None else PredictionInterval(**interval)
            return cls(**own)
        except Exception as error:  # whatever the parts of a card that is none raise
            raise ModelFileError(f"the card of the model is not complete: {describe(error)}") from error


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("target", "title", "unit", "definition", "level", "recipe", "created"), str),
    **dict.fromkeys(("classes", "notes"), list),
    "training": dict,
    "metrics": dict,
    "interval": dict | None,
    "seed": int | None,
}
_KINDS_OF_TRAINING: Mapping[str, Any] = {
    **dict.fromkeys(("dataset", "title", "ids_sha256"), str),
    **dict.fromkeys(("n_samples", "n_structures"), int),
    "counts": dict,
}


def digest(ids: Iterable[str]) -> str:
    """Return the SHA-256 of names, one a line."""
    return hashlib.sha256("\n".join(ids).encode(errors="backslashreplace")).hexdigest()


def installed_versions(xgboost: bool = False) -> dict[str, str]:
    """Return the versions of Python and of the packages that a model depends on."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *(["xgboost"] if xgboost else [])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # one without metadata, or a variant under another name
            found[name] = _version_of_variant(name)
    return found


def _version_of_variant(name: str) -> str:
    try:
        return version(f"{name}-cpu")
    except PackageNotFoundError:
        return ""


def check_versions(saved: Mapping[str, Any], path: str) -> None:
    """Compare the versions that a model was saved with with the installed ones.

    Raises
    ------
    ModelFileError
        If the major versions of scikit-learn or XGBoost differ. Those of atomprint may: the file holds the version of
        its format, and those of the numbers of each class.

    Warns
    -----
    VersionWarning
        If the minor versions of scikit-learn or XGBoost differ.
    """
    here = installed_versions(xgboost="xgboost" in saved)
    other = []
    for name in _FITTED_BY:
        then, now = saved.get(name), here.get(name)
        if not then or not now:
            continue
        old, new = (re.match(r"(\d+)\.(\d+)", str(found)) for found in (then, now))
        if old is None or new is None:
            raise ModelFileError(f"{path!r}: the version of {name} must be a version, got {then!r}")
        if old[1] != new[1]:
            raise ModelFileError(
                f"{path!r} was saved with {name} {then}, which {name} {now} cannot be expected to read: install "
                f"'{name}=={then}', or train the model again"
            )
        if old[2] != new[2]:
            other.append(f"{name} {then} (here {now})")
    if other:
        warnings.warn(
            f"{path!r} was saved with {' and '.join(other)}: predictions may differ; compare some with those before, "
            "or train the model again",
            VersionWarning,
            stacklevel=3,
        )


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)

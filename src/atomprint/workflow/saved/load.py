"""Saved models from their files: nothing is believed that was not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from atomprint.descriptors import Descriptor
from atomprint.learn.estimators.widths import Widths
from atomprint.workflow.saved.bounds import parts_of
from atomprint.workflow.saved.card import Card, check_versions
from atomprint.workflow.saved.container import ModelFileError, describe, read_container
from atomprint.workflow.saved.domain import Domain
from atomprint.workflow.saved.model import DOMAIN, WIDTHS, TrainedModel
from atomprint.workflow.saved.persist import load_pipeline
from atomprint.workflow.saved.schema import load_npz

_MOST_FEATURES = 2**26  # where a file names none: 512 MiB for a structure


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
    if not isinstance(versions, dict) or not isinstance(features, dict) or DOMAIN not in members:
        raise ModelFileError(f"{str(where)!r} is not complete: it needs versions, features and {DOMAIN}")
    check_versions(versions, str(where))
    card = Card.from_dict(given)
    try:
        domain = Domain.from_arrays(load_npz(members.pop(DOMAIN)))
        widths = Widths.from_arrays(load_npz(members.pop(WIDTHS))) if WIDTHS in members else None
        pipeline = load_pipeline(members, trusted)
        _check_width(pipeline, features)
        model = TrainedModel(pipeline, card, domain, features.get("n_steps", 1), versions, widths)
        names, n_features = model.feature_names, model.n_features
        if features.get("names") != names or features.get("n") != n_features:
            raise ModelFileError(
                f"the card names {features.get('n')} features, the pipeline makes {n_features}"
                + _first_difference(features.get("names"), names)
            )
        model.try_out()
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

"""Whole workflows: the trained model that is saved, loaded and asked for predictions."""

from atomprint.workflow.card import Card, Interval, Training, VersionWarning
from atomprint.workflow.container import ModelFileError
from atomprint.workflow.domain import Domain
from atomprint.workflow.model import TrainedModel, load_model
from atomprint.workflow.pipeline import AtomRows, LocalUnion, assemble
from atomprint.workflow.predictions import Predictions

__all__ = [
    "AtomRows",
    "Card",
    "Domain",
    "Interval",
    "LocalUnion",
    "ModelFileError",
    "Predictions",
    "TrainedModel",
    "Training",
    "VersionWarning",
    "assemble",
    "load_model",
]

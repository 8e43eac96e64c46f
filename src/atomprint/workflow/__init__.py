"""Whole workflows: recipes, training runs, benchmarks, and models that are saved, loaded and asked for predictions."""

from atomprint.workflow.auto import AutoRecipe, auto_recipe
from atomprint.workflow.card import Card, Interval, Training, VersionWarning
from atomprint.workflow.container import ModelFileError
from atomprint.workflow.domain import Domain
from atomprint.workflow.model import TrainedModel, load_model
from atomprint.workflow.pipeline import AtomRows, LocalUnion, assemble
from atomprint.workflow.predictions import Predictions
from atomprint.workflow.recipe import Recipe
from atomprint.workflow.train import Run, train

__all__ = [
    "AtomRows",
    "AutoRecipe",
    "Card",
    "Domain",
    "Interval",
    "LocalUnion",
    "ModelFileError",
    "Predictions",
    "Recipe",
    "Run",
    "TrainedModel",
    "Training",
    "VersionWarning",
    "assemble",
    "auto_recipe",
    "load_model",
    "train",
]

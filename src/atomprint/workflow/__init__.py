"""Whole workflows: recipes, training runs, benchmarks, and models that are saved, loaded and asked for predictions."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.workflow.recipes.auto import AutoRecipe, auto_recipe
    from atomprint.workflow.recipes.recipe import Recipe
    from atomprint.workflow.runs.train import Run, train
    from atomprint.workflow.saved.card import Card, PredictionInterval, Training, VersionWarning
    from atomprint.workflow.saved.container import ModelFileError
    from atomprint.workflow.saved.domain import Domain
    from atomprint.workflow.saved.load import load_model
    from atomprint.workflow.saved.model import TrainedModel
    from atomprint.workflow.saved.pipeline import AtomRows, LocalUnion, assemble
    from atomprint.workflow.saved.predictions import Predictions

__getattr__, __dir__ = door(__name__)

__all__ = [
    "AtomRows",
    "AutoRecipe",
    "Card",
    "Domain",
    "LocalUnion",
    "ModelFileError",
    "PredictionInterval",
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

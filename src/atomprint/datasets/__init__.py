"""Data sets: structures with the properties that models learn, their units and where they come from."""

from atomprint.datasets.base import Dataset, Target
from atomprint.datasets.bundled import load_dcdft, load_g2

__all__ = ["Dataset", "Target", "load_dcdft", "load_g2"]

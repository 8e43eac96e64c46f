"""Recipes: what they say, what they leave open, and the objects that they name."""

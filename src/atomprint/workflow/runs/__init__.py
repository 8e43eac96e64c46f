"""Whole runs of recipes: training, benchmarks, tables of features, the demo."""

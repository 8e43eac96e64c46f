"""Trained models in one file, their domain, and predictions with them."""

"""Estimators of our own, beside scikit-learn's."""

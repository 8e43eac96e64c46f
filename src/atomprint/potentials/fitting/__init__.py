"""Linear least squares with priors: rows, triangles, hyperparameters and what is not known."""

"""Several features and models on one target: run, kept, and told."""

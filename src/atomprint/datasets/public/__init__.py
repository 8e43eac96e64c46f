"""Public data sets: which there are, and how they are fetched, checked and read."""

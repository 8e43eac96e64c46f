"""Features of compositions, for which no structure is needed."""

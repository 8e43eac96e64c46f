"""What every descriptor gets for free: its contract, calls, rows of results, derivatives, pooling."""

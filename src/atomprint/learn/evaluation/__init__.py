"""How good a model is and why: held-out errors, choices, intervals, importance."""

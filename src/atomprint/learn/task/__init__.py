"""What is learnt from what: targets, features and their blocks, contents of samples, metrics."""

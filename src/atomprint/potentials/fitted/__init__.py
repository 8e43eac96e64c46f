"""What a fit leaves behind: a model, its predictions and its file."""

"""What a potential is worth: comparisons, plots and the page that shows them."""

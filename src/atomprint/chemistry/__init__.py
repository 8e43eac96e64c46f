"""What formulas, elements and their charges say, before any structure is looked at."""

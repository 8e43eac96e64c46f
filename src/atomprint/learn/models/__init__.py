"""Models by name, their searches, and what is inside them once they are fitted."""

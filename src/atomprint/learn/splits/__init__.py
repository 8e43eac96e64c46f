"""What is set aside for testing, and what it shares with the rest."""

"""Learning algorithms, what they share, and the registry of their names."""

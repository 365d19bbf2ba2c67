"""A run's market and policies, played again under common random numbers."""

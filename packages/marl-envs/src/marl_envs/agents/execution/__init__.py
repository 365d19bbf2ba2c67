"""Execution agents: buy or sell a given size within the episode."""

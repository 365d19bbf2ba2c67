"""Directional traders: take a position and carry it."""

"""Policies over the course of a run, against each other."""

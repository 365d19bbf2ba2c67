"""A run from command line to folder: sessions, checkpoints, logs, evaluation, tables."""

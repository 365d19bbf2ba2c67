"""Run folders as tables, and what is missing in them."""

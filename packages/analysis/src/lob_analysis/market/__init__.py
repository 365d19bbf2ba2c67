"""The market itself, real and simulated: quality, impact, stylized facts, realism."""

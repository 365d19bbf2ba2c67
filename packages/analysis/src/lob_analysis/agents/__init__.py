"""What each agent earned and how it traded, against baselines and between runs."""

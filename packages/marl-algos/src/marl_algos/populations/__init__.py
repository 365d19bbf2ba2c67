"""Learners among learners: pools of frozen policies, self-play, PBT, PSRO."""

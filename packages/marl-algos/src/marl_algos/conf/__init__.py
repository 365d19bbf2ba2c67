"""Hydra configuration: YAML groups in this folder, checked against `marl_algos.conf.schema`."""

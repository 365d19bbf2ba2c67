"""Ways to run a learner: seeds side by side, devices, shards of data, warm starts."""

"""Learning from what others did: demonstrations of rules, behavior cloning."""

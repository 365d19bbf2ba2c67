"""The market that a configuration describes: data, flow, domains, trials."""

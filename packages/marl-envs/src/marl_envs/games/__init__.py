"""Small games whose solutions are known, as environments; each module states its answer."""

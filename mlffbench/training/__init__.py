"""Training two-headed networks: prior labels first, reference labels on top."""

"""Other people's networks: one adapter each."""

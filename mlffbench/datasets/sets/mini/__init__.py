"""The mini OOD set: small molecules with real DFT labels, and the recipe that made it."""

"""The catalogue of force fields, and the adapters behind it."""

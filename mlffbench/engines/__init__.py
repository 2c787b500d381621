"""Engines: where the workers of a run come from. They only start them."""

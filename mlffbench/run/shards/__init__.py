"""A run cut into pieces that any process may compute, and put together again."""

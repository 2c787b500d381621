"""Which molecules are the same."""

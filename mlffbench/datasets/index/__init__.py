"""One pass over a large file, kept beside it."""

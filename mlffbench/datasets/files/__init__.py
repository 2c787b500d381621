"""One reader per layout of file, and what they share."""

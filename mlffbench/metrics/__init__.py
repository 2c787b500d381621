"""The numbers: what is measured, and how sure we are of it."""

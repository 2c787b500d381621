"""The types everybody speaks."""

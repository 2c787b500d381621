"""Environments of their own, for models whose packages cannot live with the others."""

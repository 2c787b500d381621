"""Families of published networks that come as a package: one adapter each."""

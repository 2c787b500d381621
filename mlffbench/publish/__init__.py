"""Publish: results that leave this machine, and those of others that are checked."""

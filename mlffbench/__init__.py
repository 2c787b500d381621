"""How machine-learning force fields hold up when the chemistry changes."""

__version__ = "0.1.0"

"""The public Python API; `mlffbench/__init__.py` says which names it has."""

"""The published and embedded sets: one module or folder each."""

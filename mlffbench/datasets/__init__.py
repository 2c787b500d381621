"""The datasets: one module or folder each, listed in the catalogue."""

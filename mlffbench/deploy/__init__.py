"""A model put to use: predictions, refined models kept on disk, an ASE calculator."""

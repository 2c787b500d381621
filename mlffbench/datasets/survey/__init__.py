"""HDF5 files before they are read: whether they may be, and where their numbers lie."""

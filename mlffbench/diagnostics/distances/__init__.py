"""How far a structure is from training: one distance each, listed in the catalogue."""

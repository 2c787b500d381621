"""Records as tables of text, and tables for people and for programs."""

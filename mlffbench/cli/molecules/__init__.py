"""Commands for molecules of the user, which have no labels."""

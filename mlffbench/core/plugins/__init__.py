"""What comes from other packages and from files of the user: found, read, told."""

"""Files that another process looks through before they are read."""

"""What more than one command needs."""

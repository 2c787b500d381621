"""What ``run`` does: predictions of a model in a mode, and their scores."""

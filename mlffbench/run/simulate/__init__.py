"""What ``simulate`` does: trajectories, and their scores."""

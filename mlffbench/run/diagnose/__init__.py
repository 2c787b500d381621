"""What ``diagnose`` does: how far structures are from training."""

"""What ``finetune-curve`` does: error against labels, and its scores."""

"""What a test-time refinement does to a model before it predicts."""

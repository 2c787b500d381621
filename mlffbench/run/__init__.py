"""From a suite to stored predictions to records."""

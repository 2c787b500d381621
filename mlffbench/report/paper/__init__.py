"""The published numbers of Kreiman & Krishnapriyan beside ours."""

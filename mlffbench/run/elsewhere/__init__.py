"""Parts of a run that another process computes, and how it is told what to do."""

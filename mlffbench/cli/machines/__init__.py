"""Commands about machines: what works on one, environments, and workers."""

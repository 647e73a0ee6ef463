"""A smaller network learns from a larger one."""

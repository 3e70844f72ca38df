"""Which neurons a projection connects."""

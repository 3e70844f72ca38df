"""Inputs that live inside their target."""

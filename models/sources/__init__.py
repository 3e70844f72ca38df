"""Populations that emit spikes without being neurons."""

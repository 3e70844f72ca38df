"""What a synapse carries."""

"""Models on many GPUs."""

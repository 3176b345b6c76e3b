"""The cluster of compose.yaml in a real Docker engine: ``python -m tests.docker``."""

"""Losses: workers, hosts, links and notebooks that go away in the middle of a work."""

"""Other libraries' own tests of KMeans, run against ours: ``python -m tests.peers``."""

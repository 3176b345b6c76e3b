"""Losses: workers, hosts, links and notebooks that go away in the middle of a work."""

# Each work with its function in `tests.losses.work`, whose imports take seconds.
WORKS = {
    "partition reading": "reading",
    "KMeans fit": "fit",
    "predict": "predict",
    "search, joblib": "search",
    "search, plain tasks": "plain_search",
    "Incremental": "incremental",
    "own chain": "chain",
    "federated rounds": "federated",
    "KMeans fit, saved": "resumed_fit",
    "stream, saved": "resumed_training",
}
# How near the numbers must come: sums in another order differ in their last bits.
EXACT = {"partition reading", "predict", "own chain", "Incremental", "stream, saved"}

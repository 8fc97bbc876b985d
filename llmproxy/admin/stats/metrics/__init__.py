"""`/metrics` for Prometheus: the statistics of all workers, written when they are scraped.

No label comes from a client, so the number of series is bounded by the config.
"""

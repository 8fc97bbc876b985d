"""`/metrics` for Prometheus: the statistics of all workers, rendered at each scrape.

Labels never contain a client's text, so the config bounds the number of series.
"""

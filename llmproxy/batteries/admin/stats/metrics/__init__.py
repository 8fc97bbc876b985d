"""`/metrics` for Prometheus: the statistics of all workers, rendered at each scrape.

Labels never contain a client's text, and names of keys made at run time are bounded in number.
"""

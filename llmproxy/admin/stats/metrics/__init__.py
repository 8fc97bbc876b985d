"""`/metrics` for Prometheus, of all workers together: read when it is scraped, not by calls.

Counters come from the tally, gauges from the state that the dashboard shows; no label comes from a
client.
"""

"""The proxy's own rules under a simulated clock: what a config would do with a given traffic.

Endpoints are modelled (model.py, vendors.py); the pool, capacity, breakers, retries, waiting and
leases are the real ones. Nothing is sent anywhere, and nothing waits for real time.
"""

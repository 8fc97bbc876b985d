"""Runs a config and its traffic through the proxy's own rules, on a simulated clock.

Only the endpoints are modelled (model.py, vendors.py). The pool, capacity, breakers, retries, wait
queue and leases are the proxy's own. Nothing is sent, and nothing waits in real time.
"""

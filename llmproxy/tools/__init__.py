"""Command-line tools around the proxy: top, simulate, the simulator, clients of the admin API."""

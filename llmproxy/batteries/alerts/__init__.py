"""Alerts to webhooks: a budget that is used, an endpoint that is out, a jump in spend, a key that
ends soon. Each is sent once, by one instance.

The only module of this package that others import. Without it, a config that has `alerts` is
refused.
"""

from llmproxy.batteries.alerts.service import Alerts

__all__ = ["Alerts"]

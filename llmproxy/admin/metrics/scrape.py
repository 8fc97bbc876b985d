"""One scrape, from what is known at the moment."""

from __future__ import annotations

from llmproxy.admin.metrics.cache import tell_cache
from llmproxy.admin.metrics.calls import tell_calls
from llmproxy.admin.metrics.endpoints import tell_endpoints, tell_proxy
from llmproxy.admin.metrics.page import Page
from llmproxy.admin.now import Now
from llmproxy.admin.overview import Numbers


def metrics_text(now: Now, numbers: Numbers) -> bytes:
    """All metrics, in Prometheus' text format."""
    page = Page()
    configured = {group.group: [each.endpoint for each in group.endpoints] for group in now.groups}
    tell_calls(page, numbers.counters["tally"], configured)
    tell_endpoints(page, now)
    tell_cache(page, now, numbers.counters["cache"], numbers.gauges["cache"])
    tell_proxy(page, now)
    return page.text()

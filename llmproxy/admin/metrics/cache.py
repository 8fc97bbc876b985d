"""What the caches of all workers have done, and what they hold."""

from __future__ import annotations

from llmproxy.admin.metrics.page import Page
from llmproxy.admin.now import Now
from llmproxy.telemetry.tally import Tree


def tell_cache(page: Page, now: Now, counters: Tree, gauges: Tree) -> None:
    """Of the memory, and of the store behind it, if there is one."""
    for result, number in (
        ("hit", counters["hits"]),
        ("stale", counters["stale"]),
        ("coalesced", counters["coalesced"]),
        ("miss", counters["misses"]),
    ):
        page.add("llmproxy_cache_calls_total", number, result)
    page.add("llmproxy_cache_kept_total", counters["kept"])
    page.add("llmproxy_cache_saved_tokens_total", counters["saved_input_tokens"], "input")
    page.add("llmproxy_cache_saved_tokens_total", counters["saved_output_tokens"], "output")
    page.add("llmproxy_cache_saved_usd_total", counters["saved_usd"])
    page.add("llmproxy_cache_memory_bytes", gauges["bytes"])
    page.add("llmproxy_cache_memory_answers", gauges["answers"])
    store = now.cache.store if now.cache else None
    if store is None:
        return
    page.add("llmproxy_cache_store_up", store.connected)
    page.add("llmproxy_cache_store_queued_bytes", gauges["queued_bytes"])
    for word in ("reads", "hits", "damaged", "failures", "dropped"):
        page.add(f"llmproxy_cache_store_{word}_total", counters["store"][word])

"""Metrics of the servers that instances share: the database that keeps calls, shared state."""

from llmproxy.batteries.admin.stats.metrics.subjects import PROXY

SERVERS = (
    PROXY.gauge(
        "llmproxy_database_up",
        "1: the database takes calls; 0: they wait.",
        lambda proxy: (
            None
            if proxy.database is None or proxy.database.connected is None
            else proxy.database.connected
        ),
    ),
    PROXY.gauge(
        "llmproxy_database_calls_waiting",
        "Calls that are not in the database yet: in memory, on disk.",
        lambda proxy: (
            {}
            if proxy.database is None
            else {"memory": proxy.database.queued, "disk": proxy.database.spooled}
        ),
        "where",
    ),
    PROXY.counter(
        "llmproxy_database_calls_lost_total",
        "Calls that found room neither in the database nor on disk.",
        lambda proxy: None if proxy.database is None else proxy.database.lost,
    ),
    PROXY.gauge(
        "llmproxy_shared_up",
        "1: shared state is connected; 0: the instance keeps to its share of every limit.",
        lambda proxy: None if proxy.shared is None else proxy.shared.connected,
    ),
    PROXY.gauge(
        "llmproxy_shared_instances",
        "Instances that share their state, including this one.",
        lambda proxy: None if proxy.shared is None else proxy.shared.instances,
    ),
)

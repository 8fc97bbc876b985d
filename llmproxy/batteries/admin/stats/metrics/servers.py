"""Metrics of the servers that instances share (the database that keeps calls, shared state), and of
the proxy's own certificate and connections."""

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
    PROXY.gauge(
        "llmproxy_tls_certificate_expires_seconds",
        "When the certificate that the proxy serves expires, in Unix seconds.",
        lambda proxy: None if proxy.tls is None else proxy.tls.expires_at,
    ),
    PROXY.gauge(
        "llmproxy_tls_certificate_refused",
        "1: newer files of certificate and key cannot be used, and the ones before are served.",
        lambda proxy: None if proxy.tls is None else proxy.tls.error is not None,
    ),
    PROXY.counter(
        "llmproxy_connections_failed_total",
        "Connections that ended before their first request, as a TLS handshake or a PROXY header "
        "failed, by the reason.",
        lambda proxy: proxy.failed_connections,
        "reason",
    ),
)

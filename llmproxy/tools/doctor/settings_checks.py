"""What a config makes likely to hurt, although it is valid. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.config import Config, Price
from llmproxy.providers.base import Endpoint, Endpoints
from llmproxy.tools.doctor.findings import DoctorFinding, found

LONG_COOLDOWN_S = 900.0
MANY_FAILS = 20
LONG_CONNECT_S = 15.0


def config_findings(config: FullConfig, endpoints: Endpoints) -> Iterator[DoctorFinding]:
    """Yield what a config makes likely to hurt. `endpoints`: with list prices."""
    yield from _groups(config)
    yield from _same_account(endpoints)
    yield from _prices(endpoints)
    yield from _cache(config)
    yield from _failing(config.general_settings, several=_has_several(config))


def subject_of(endpoint: Endpoint) -> str:
    """Return the name of an endpoint in findings."""
    return f"{endpoint.group}/{endpoint.name}"


def _has_several(config: Config) -> bool:
    return any(len(group.models) > 1 or group.all_fallbacks for group in config.model_groups)


def _groups(config: Config) -> Iterator[DoctorFinding]:
    for group in config.model_groups:
        if len(group.models) == 1 and not group.fallbacks:
            yield found("one_endpoint", group.model_group)
        if all(entry.weight == 0 for entry in group.models):
            yield found("all_last_resort", group.model_group)


def _same_account(endpoints: Endpoints) -> Iterator[DoctorFinding]:
    first: dict[str, Endpoint] = {}
    for endpoint in (endpoint for row in endpoints.values() for endpoint in row):
        known = first.setdefault(endpoint.account, endpoint)
        if known.limits != endpoint.limits:
            yield found("limits_differ", subject_of(endpoint), other=subject_of(known))


def _prices(endpoints: Endpoints) -> Iterator[DoctorFinding]:
    for endpoint in (endpoint for row in endpoints.values() for endpoint in row):
        # What a wildcard asks for has its price when it is known.
        if not isinstance(endpoint.price, Price) and "*" not in (endpoint.model_pattern or ""):
            model = endpoint.model or endpoint.group
            if model != "*":
                yield found("no_price", subject_of(endpoint), model=model)


def _cache(config: FullConfig) -> Iterator[DoctorFinding]:
    settings = config.general_settings
    modes = {group.cache or settings.cache_params.mode for group in config.model_groups}
    if settings.cache and modes <= {"deterministic", "off"}:
        yield found("cache_only_deterministic", "cache")


def _failing(settings: FullSettings, *, several: bool) -> Iterator[DoctorFinding]:
    where = "general_settings"
    if settings.cooldown_time == 0:
        yield found("no_cooldown", where)
    if settings.cooldown_time > LONG_COOLDOWN_S:
        yield found("long_cooldown", where, seconds=settings.cooldown_time)
    if settings.allowed_fails > MANY_FAILS:
        yield found("fails_too_many", where, fails=settings.allowed_fails)
    if several and settings.num_retries == 0:
        yield found("no_retries", where)
    timeouts, wait_s = settings.timeouts, settings.queue.max_wait_s
    if wait_s >= timeouts.total_s:
        yield found("waits_longer_than_total", where, wait=wait_s, total=timeouts.total_s)
    if timeouts.connect_s > LONG_CONNECT_S:
        yield found("slow_connect_timeout", where, seconds=timeouts.connect_s)

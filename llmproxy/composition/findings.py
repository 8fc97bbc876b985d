"""What `llmproxy check` says of a config that is valid."""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.batteries.settings import full
from llmproxy.composition.packages import has
from llmproxy.config import Config
from llmproxy.errors import Problem
from llmproxy.providers import endpoints_of


def config_warnings(config: Config) -> list[str]:
    """Return warnings of endpoints that refuse what others of the same calls take, and of regions
    that may not exist. Raises ConfigError if its list of prices cannot be used."""
    endpoints = endpoints_of(config)
    warnings: list[str] = []
    if full(config.general_settings).price_list and has("price_list"):
        from llmproxy.batteries.price_list import with_list_prices  # noqa: PLC0415

        with_list_prices(config, endpoints)
    if has("parameters"):
        from llmproxy.batteries.parameters import mixed_groups  # noqa: PLC0415 - may not be there

        warnings += mixed_groups(config, endpoints)
    if has("credentials"):
        from llmproxy.batteries.credentials import unknown_regions  # noqa: PLC0415

        warnings += unknown_regions(endpoints)
    return warnings


def tls_warnings(config: Config, file: str) -> list[Problem]:
    """Return what clients will not like of the proxy's certificate, and of who gets in."""
    settings = full(config.general_settings)
    if settings.tls is None or not has("tls"):
        return []
    from llmproxy.batteries.tls import warnings_of  # noqa: PLC0415 - may not be there

    where = ("general_settings", "tls")
    found = [
        Problem(file, 0, f"tls.{key}: {text}", remedy, (*where, key))
        for key, text, remedy in warnings_of(settings.tls)
    ]
    if settings.tls.client_certificate == "optional" and not settings.keys_are_required:
        text = "tls.client_certificate: it is optional, and no callers are configured."
        remedy = "Clients without a certificate are served: add callers, or write required."
        found.append(Problem(file, 0, text, remedy, (*where, "client_certificate")))
    return found


def store_warnings(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Return what stands against the store of a config. Nothing is made, and no server asked."""
    if not has("store"):
        return []
    from llmproxy.batteries.store import address_of, doubt  # noqa: PLC0415 - may not be there

    url = full(config.general_settings).database_url
    address = address_of(None if url is None else url.get_secret_value(), environ)
    why = None if address is None else doubt(address)
    return [] if why is None else [f"Calls would not be kept: {why}"]


def translation_notes(config: Config) -> list[str]:
    """Return, for groups of several worlds, which calls are translated for which endpoint."""
    if not has("translation"):
        return []
    from llmproxy.batteries.translation import notes_of  # noqa: PLC0415 - may not be there

    return list(notes_of(config, endpoints_of(config)))

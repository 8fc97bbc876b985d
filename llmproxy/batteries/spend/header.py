"""The header that tells a client what its call has cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from llmproxy.batteries.money import dollars
from llmproxy.batteries.settings import full
from llmproxy.config import GeneralSettings
from llmproxy.protocols import CostHeaders, PriceCall
from llmproxy.record import Basis, CallRecord
from llmproxy.streams import Headers

HEADER = b"x-llmproxy-cost-usd"


def cost_headers(settings: GeneralSettings, price_call: PriceCall) -> CostHeaders | None:
    """Return what tells clients the cost of whole answers; None if the config tells nobody."""
    config = full(settings)
    named = {
        caller.name: caller.cost_header
        for caller in config.callers
        if caller.cost_header is not None
    }
    if not config.cost_header and not any(named.values()):
        return None
    return partial(_headers, price_call, named, config.cost_header)


def _headers(
    price_call: PriceCall, named: Mapping[str, bool], others: bool, record: CallRecord
) -> Headers:
    """Return the header; none for a caller that may not know, or if the cost is not known."""
    if not named.get(record.request.caller or "", others):
        return []
    cost = record.cost = price_call(record)
    return [] if cost.basis is Basis.UNKNOWN else [(HEADER, dollars(cost.nano_usd).encode())]

"""The demo: three vendors on loopback, and the config that puts a proxy in front of them.

One is a little slow, one has a small rate limit, one fails now and then, so that balancing and
failover can be watched. Their streams run at a speed that a person can follow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from llmproxy.simulator.faults import Fault
from llmproxy.simulator.settings import VendorSettings
from llmproxy.simulator.vendor import Vendor, serve

OPENAI = VendorSettings(name="demo-openai", dialect="openai", latency_s=0.15, tokens_per_s=80)
CLASSIC = VendorSettings(
    name="demo-azure", dialect="azure", latency_s=0.1, tokens_per_s=100, rpm=120
)
AZURE_V1 = VendorSettings(
    name="demo-azure-v1", dialect="azure", latency_s=0.3, tokens_per_s=60, region="West Europe"
)
FAILS_EVERY = 5

MODELS = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
)

# Short cooldowns, so that an endpoint that failed is soon seen again.
_HEAD = """\
# The demo: simulated endpoints. Nothing here costs anything or leaves this machine.
general_settings:
  cooldown_time: 10
model_groups:
"""

_GROUP = """\
  - model_group: "{group}"
    models:
      - name: demo-openai
        weight: 2{model}
        params:
          base_url: {openai}
          api_key: demo
      - name: demo-azure              # at most 2 requests a second
        weight: 2{model}
        params:
          azure_endpoint: {classic}
          api_version: "2024-10-21"
          api_key: demo
      - name: demo-azure-v1           # slower, and overloaded now and then
        weight: 1{model}
        provider: azure
        params:
          base_url: {azure_v1}
          api_key: demo
"""


class Fleet(msgspec.Struct):
    """The demo's vendors, by name, and the text of the config for them."""

    vendors: dict[str, Vendor]
    config_yaml: str


@asynccontextmanager
async def demo_fleet() -> AsyncIterator[Fleet]:
    """Run the demo's vendors on free ports of this event loop."""
    async with AsyncExitStack() as stack:
        vendors = [
            await stack.enter_async_context(serve(settings))
            for settings in (
                msgspec.structs.replace(each, record=False) for each in (OPENAI, CLASSIC, AZURE_V1)
            )
        ]
        vendors[2].faults.append(Fault("status:503:server_is_overloaded", every=FAILS_EVERY))
        named = {vendor.settings.name: vendor for vendor in vendors}
        yield Fleet(named, _config(*vendors))


def _config(openai: Vendor, classic: Vendor, azure_v1: Vendor) -> str:
    groups = [
        _GROUP.format(
            group=group,
            model="" if group == "*" else f"\n        model: {group}",
            openai=openai.base_url,
            classic=classic.azure_endpoint,
            azure_v1=azure_v1.azure_v1_url,
        )
        for group in (*MODELS, "*")
    ]
    return _HEAD + "".join(groups)

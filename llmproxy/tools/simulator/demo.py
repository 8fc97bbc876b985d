"""The demo: three vendors on loopback, and the config of a proxy in front of them.

The first call fails at its first endpoint. Later one vendor is a little slow, one has a small rate
limit, one fails now and then, so that balancing and failover can be observed. Streams run at a
speed that a person can follow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import SimulatedVendor, serve

VENDORS = (
    VendorSettings(name="demo-openai", dialect="openai", latency_s=0.15, tokens_per_s=80),
    VendorSettings(name="demo-azure", dialect="azure", latency_s=0.1, tokens_per_s=100, rpm=120),
    VendorSettings(
        name="demo-azure-v1",
        dialect="azure",
        latency_s=0.3,
        tokens_per_s=60,
        region="West Europe",
    ),
)
FAILS_EVERY = 3
OVERLOADED = "status:503:server_is_overloaded"

# model -> the price of the real one, in US dollars per million tokens in and out
MODELS = {
    "gpt-4.1": (2.0, 8.0),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "text-embedding-3-small": (0.02, 0.0),
    "text-embedding-3-large": (0.13, 0.0),
}

# Short cooldowns, so that a failed endpoint is soon tried again.
_HEAD = """\
# The demo: simulated endpoints. Nothing here costs anything or leaves this machine; the prices are
# there so that there is something to see.
general_settings:
  database_url: "{database_url}"
  cooldown_time: 10
model_groups:
"""

_OPENAI_ENTRY = """\
      - name: demo-openai
        weight: 2{model}
        params: {{base_url: "{vendor.base_url}", api_key: demo}}
"""

_CLASSIC_ENTRY = """\
      - name: demo-azure              # at most 2 requests a second
        weight: 2{model}
        params: {{azure_endpoint: "{vendor.root}", api_version: "2024-10-21", api_key: demo}}
"""

_AZURE_V1_ENTRY = """\
      - name: demo-azure-v1           # slower, and overloaded now and then
        weight: 1{model}
        provider: azure
        params: {{base_url: "{vendor.azure_v1_url}", api_key: demo}}
"""


class Fleet(msgspec.Struct):
    """The demo's vendors by name, and the text of their config."""

    vendors: dict[str, SimulatedVendor]
    config_yaml: str


@asynccontextmanager
async def demo_fleet(*, database_url: str = "off") -> AsyncIterator[Fleet]:
    """Run the demo's vendors on free ports of this event loop."""
    async with AsyncExitStack() as stack:
        vendors = [await stack.enter_async_context(serve(settings)) for settings in VENDORS]
        # Whichever of them is asked first fails once: the first call shows a failover.
        at_first = Fault(OVERLOADED, times=1)
        for vendor in vendors:
            vendor.faults.append(at_first)
        vendors[2].faults.append(Fault(OVERLOADED, every=FAILS_EVERY))
        yield Fleet(
            {vendor.settings.name: vendor for vendor in vendors}, _config(vendors, database_url)
        )


def _config(vendors: list[SimulatedVendor], database_url: str) -> str:
    entries = (_OPENAI_ENTRY, _CLASSIC_ENTRY, _AZURE_V1_ENTRY)

    def group(name: str, model: str) -> str:
        # Azure's classic path needs a deployment's name, so it cannot serve every other name.
        listed = [
            entry.format(model=model, vendor=vendor)
            for entry, vendor in zip(entries, vendors, strict=True)
            if model or entry is not _CLASSIC_ENTRY
        ]
        return "".join([f'  - model_group: "{name}"\n    models:\n', *listed])

    groups = [
        group(name, f"\n        model: {name}\n        price: {{input: {i:g}, output: {o:g}}}")
        for name, (i, o) in MODELS.items()
    ]
    return "".join([_HEAD.format(database_url=database_url), *groups, group("*", "")])

"""A vendor to practise on: it speaks OpenAI and Azure, keeps limits, and misbehaves on demand.

It knows nothing of the proxy. `serve` runs one in this process, `demo.demo_fleet` three, and
`python -m llmproxy.tools.simulator` runs one in a process of its own.
"""

from llmproxy.tools.simulator.exchange import Received
from llmproxy.tools.simulator.faults import Fault, parse_fault, raw
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import SimulatedVendor, VendorCounts, serve

__all__ = [
    "Fault",
    "Received",
    "SimulatedVendor",
    "VendorCounts",
    "VendorSettings",
    "parse_fault",
    "raw",
    "serve",
]

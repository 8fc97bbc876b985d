"""A simulated vendor: the APIs of OpenAI and Azure, their rate limits, and faults on demand.

It is independent of the proxy. `serve` runs one in this process, `demo.demo_fleet` three, and
`python -m llmproxy.tools.simulator` runs one as a process.
"""

from llmproxy.tools.simulator.faults import Fault, parse_fault, raw
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import SimulatedVendor, serve

__all__ = [
    "Fault",
    "SimulatedVendor",
    "VendorSettings",
    "parse_fault",
    "raw",
    "serve",
]

"""A vendor to practise on: it speaks OpenAI and Azure, keeps limits, and misbehaves on demand.

It knows nothing of the proxy. `serve` runs one in this process, `python -m llmproxy.simulator` one
of its own, `demo.demo_fleet` three.
"""

from llmproxy.simulator.exchange import Received
from llmproxy.simulator.faults import Fault, parse_fault, raw
from llmproxy.simulator.settings import VendorSettings
from llmproxy.simulator.vendor import Counts, Vendor, serve

__all__ = ["Counts", "Fault", "Received", "Vendor", "VendorSettings", "parse_fault", "raw", "serve"]

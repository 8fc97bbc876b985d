"""What is recorded of calls: the access log, counters and traces.

The door of this battery is `Exporters`.
"""

from llmproxy.batteries.telemetry.access_log import write_lines_to, write_to
from llmproxy.batteries.telemetry.opening import Exporters, Recorders

__all__ = ["Exporters", "Recorders", "write_lines_to", "write_to"]

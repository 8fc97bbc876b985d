"""The rows of `make bench ARGS="--only rows"`: each is a config and a load; data only.

A row is measured by the function of bench/row_by_row.py that its `load` names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from upstream import ADDRESSES

MODEL, STREAM_MODEL, KEY = "gpt-4.1", "gpt-4.1-stream", "sk-client"
LABELS: dict[str, object] = {"user": "user-1"}
GROUPS_OF_MODELS = """\
model_groups:
  - model_group: {model}
    models:
{endpoints}
  - model_group: {stream_model}
    models:
{stream_endpoints}
general_settings:
  max_in_flight: 20000
"""
ENDPOINT = """\
      - model: {model}
        name: {name}
        params: {{api_key: sk-bench, base_url: "http://{host}:{port}/v1/"}}
        price: {{input: 2, output: 8}}
        limits: {{rpm: 60000000, tpm: 60000000000, concurrent: 100000}}"""
# What each part says below general_settings when it is on, and when it is off.
PARTS = {
    "callers": (f"callers: [{{name: bench, key: {KEY}, limits: {{rpm: 60000000}}}}]", ""),
    "cache": ("cache: true\n  cache_params: {mode: all}", ""),
    "store": ("database_url: @database@", "database_url: 'off'"),
    "tracing": ("tracing: {endpoint: 'http://127.0.0.1:@collector@'}", ""),
    "affinity": ("affinity: session", "affinity: 'off'"),
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An LLMProxy: the parts that are on, how many endpoints a group has, and the workers."""

    parts: tuple[str, ...] = ()
    endpoints: int = 1
    workers: int = 1

    @property
    def label(self) -> str:
        """A name for its files."""
        return "-".join(("rows", *self.parts, f"{self.endpoints}x{self.workers}"))

    def config(self, *, port: int, stream_port: int, database: str) -> str:
        """The YAML of an LLMProxy before these vendors; spans go to the second one."""
        endpoints = "\n".join(
            ENDPOINT.format(model=MODEL, name=f"endpoint-{number}", host=ADDRESSES[0], port=port)
            for number in range(self.endpoints)
        )
        streams = "\n".join(
            ENDPOINT.format(model=STREAM_MODEL, name=f"streams-{host}", host=host, port=stream_port)
            for host in ADDRESSES
        )
        text = GROUPS_OF_MODELS.format(
            model=MODEL, endpoints=endpoints, stream_model=STREAM_MODEL, stream_endpoints=streams
        )
        for name, (on, off) in PARTS.items():
            text += f"  {on if name in self.parts else off}\n"
        return text.replace("@database@", database).replace("@collector@", str(stream_port))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `load`: calls, burst, pace, streams or tokens."""

    group: str
    what: str
    load: str = "calls"
    proxy: Proxy = field(default_factory=Proxy)
    connections: int = 32
    size_kb: int = 1

    @property
    def yardstick(self) -> tuple[str, int, int]:
        """What nginx has to do for this row; rows may share it."""
        return self.load, self.connections, self.size_kb


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count > 1 else ''}"


ROWS = (
    *(Row("bodies", f"body of {size} kB", size_kb=size) for size in (1, 16, 128)),
    *(
        Row("connections", plural(count, "connection"), connections=count)
        for count in (1, 32, 256, 512)
    ),
    Row("bursts", "512 new connections at once", load="burst", connections=512),
    *(
        Row("workers", plural(count, "worker"), proxy=Proxy(workers=count), connections=64)
        for count in (1, 2)
    ),
    *(
        Row("endpoints", plural(count, "endpoint"), proxy=Proxy(endpoints=count))
        for count in (1, 10, 100, 1000)
    ),
    *(Row("parts", f"{part} on", proxy=Proxy(parts=(part,))) for part in PARTS),
    Row("parts", "none on"),
    Row("parts", "all on", proxy=Proxy(parts=tuple(PARTS))),
    Row("streams", "9,500 open streams", load="streams", connections=9_500),
    Row("tokens", "one stream at full speed", load="tokens", connections=1),
    Row("pace", "1,000 calls/s on 32 connections", load="pace"),
)
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))

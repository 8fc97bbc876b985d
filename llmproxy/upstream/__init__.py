"""The upstream client: HTTP/1.1 to the endpoints, forwarded exactly.

It is built on httptools, not on a general client (docs/decisions/001). None of those retries a POST
on a kept connection that the server had just closed, and the fastest one costs twice as much CPU.
Verdicts and retries are decided in the pipeline.
"""

from llmproxy.upstream.client import UpstreamClient
from llmproxy.upstream.origin import Origin
from llmproxy.upstream.response import Response

__all__ = ["Origin", "Response", "UpstreamClient"]

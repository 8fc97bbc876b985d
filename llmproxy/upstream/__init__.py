"""The upstream client: HTTP/1.1 to the endpoints, forwarded exactly.

Our own on httptools because forwarding HTTP exactly is what this project exists for
(docs/decisions/001): no general client retries a POST on a kept-alive connection that the server
had just closed, and the fastest costs twice as much. It knows nothing of verdicts and retries.
"""

from llmproxy.upstream.client import UpstreamClient
from llmproxy.upstream.connection import Outgoing
from llmproxy.upstream.response import Response

__all__ = ["Outgoing", "Response", "UpstreamClient"]

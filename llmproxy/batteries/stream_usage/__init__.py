"""Asks endpoints for the usage of streams whose clients do not, and takes it out again.

The only module of this package that others import. Without it, and without `stream_usage: ask`, the
usage of these streams is estimated (`token_estimates`).
"""

from llmproxy.batteries.stream_usage.asking import with_asking

__all__ = ["with_asking"]

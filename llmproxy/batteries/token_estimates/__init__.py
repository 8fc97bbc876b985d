"""Estimates the tokens of a call from the bytes of its body, without a tokenizer.

`measure` samples a body and determines its kind: bodies of one kind have about the same tokens per
byte. For each kind, an `Estimator` learns the line from bytes to tokens from the usage that
endpoints return. No tokenizer covers all vendors' models, and none is fast enough for the
event loop (decision 013). `OutputEstimates` learn how much of its output bound a call writes.
`usage_of_streams` reads the usage of streams, and estimates that of those that report none.

The only module of this package that others import. Without it, the core counts the output bound of
a call before it is sent, and the usage that a whole answer reports afterwards; that of streams is
unknown.
"""

from llmproxy.batteries.token_estimates.estimates import LearnedEstimates, usage_of_streams

__all__ = ["LearnedEstimates", "usage_of_streams"]

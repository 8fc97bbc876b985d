"""Estimates the input tokens of a call from the bytes of its body, without a tokenizer.

`measure` looks at samples of a body and puts the call into a kind: bodies that are alike in what a
byte of them costs. An `Estimator` learns for each kind, from the usage that endpoints return, the
line from bytes to tokens. No tokenizer covers all vendors' models, and none is fast enough for the
event loop (decision 013).
"""

from llmproxy.rules.estimate.estimator import Accuracy, Estimator
from llmproxy.rules.estimate.size import KINDS, Size, measure

__all__ = ["KINDS", "Accuracy", "Estimator", "Size", "measure"]

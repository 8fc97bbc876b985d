"""How many input tokens a call will have, told from the bytes of its body, without a tokenizer.

`measure` looks at a body in passing and puts the call into a kind, a class of bodies that are alike
in what a byte of them costs. An `Estimator` learns, kind by kind, the line from bytes to tokens
that the returned usage draws. No tokenizer knows all vendors' models, and none is fast enough for
the event loop (decision 013).
"""

from llmproxy.rules.estimate.estimator import Accuracy, Estimator
from llmproxy.rules.estimate.size import KINDS, Size, measure

__all__ = ["KINDS", "Accuracy", "Estimator", "Size", "measure"]

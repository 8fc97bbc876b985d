"""Translation between the dialects: a call goes to endpoints that do not speak its dialect.

The only module of this package that others import. Rules over typed values: the values are in
`hub`, each dialect has a package with its readers and writers, and `endpoints` and `between` put
them into an attempt. See docs/decisions/047.
"""

from llmproxy.batteries.translation.endpoints import notes_of, with_translators

__all__ = ["notes_of", "with_translators"]

"""Translates calls for endpoints that do not speak their dialect, and the answers back.

The only module of this package that others import. The typed values that all dialects share are in
`hub`; each dialect has a package with its readers and writers of them; `endpoints` and `between`
put these into an attempt. See docs/decisions/047.
"""

from llmproxy.batteries.translation.endpoints import notes_of, with_translators
from llmproxy.batteries.translation.speaking import spoken_by

__all__ = ["notes_of", "spoken_by", "with_translators"]

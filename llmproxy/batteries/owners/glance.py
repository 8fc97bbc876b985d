"""Tells by a few fast searches that a call's body names nothing that an account keeps.

Most bodies are plain text, and long. So nothing is parsed here and no pattern runs: `bytes` finds
one byte, or a long word from behind, at the speed of memory. A body that names something always
says so (a key, or escapes that could hide one); one that says so need not name anything.
"""

from __future__ import annotations

from llmproxy.batteries.owners.ids import hides
from llmproxy.operations.dialects import CHAT, MESSAGES
from llmproxy.operations.dialects.base import Dialect

# Ends of keys, and `redacted_thinking`, which is a type: it tells of reasoning in `data`. First
# those without an underscore, then those with one.
_EVERYWHERE = (b'"store"', b'"conversation"'), (b'previous_response_id"', b'file_id"')
_PLAIN = (*_EVERYWHERE[0], b'container"')
_WITH_UNDERSCORE = (*_EVERYWHERE[1], b'container_id"', b'_ids"')
_OTHERS = (*_PLAIN, b'"id"'), (*_WITH_UNDERSCORE, b'encrypted_content"')  # of responses
_BY_DIALECT = {
    CHAT: _EVERYWHERE,
    MESSAGES: ((*_PLAIN, b'signature"'), (*_WITH_UNDERSCORE, b'"redacted_thinking"')),
}
_UNDERSCORED = (b'_id"', b'_ids"', b'_content"', b'_thinking"')  # how the others end
MAX_UNDERSCORES = 200  # with more of them, searching for whole words is faster


def may_name_something(body: bytes, dialect: Dialect) -> bool:
    """Whether a call for an answer may name or bring something that an account keeps, or says
    whether its answer is stored."""
    words, with_underscore = _BY_DIALECT.get(dialect, _OTHERS)
    if _may_have_word_with_underscore(body):
        words += with_underscore
    for word in words:
        if body.rfind(word) >= 0:
            return True
    return hides(body)


def _may_have_word_with_underscore(body: bytes) -> bool:
    """Whether a word with an underscore is there, or so many underscores that it may be."""
    at = body.find(b"_")
    for _ in range(MAX_UNDERSCORES):
        if at < 0:
            return False
        if body.startswith(_UNDERSCORED, at):
            return True
        at = body.find(b"_", at + 1)
    return True

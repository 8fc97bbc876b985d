"""The dialects that can be translated, by name."""

from __future__ import annotations

from llmproxy.batteries.translation.chat.language import CHAT_LANGUAGE
from llmproxy.batteries.translation.hub import Language
from llmproxy.batteries.translation.messages.language import MESSAGES_LANGUAGE
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE

LANGUAGES: dict[str, Language] = {
    "chat": CHAT_LANGUAGE,
    "messages": MESSAGES_LANGUAGE,
    "responses": RESPONSES_LANGUAGE,
}

"""The dialects that can be translated, by name."""

from __future__ import annotations

from llmproxy.batteries.translation.chat.language import ChatLanguage
from llmproxy.batteries.translation.hub import Language
from llmproxy.batteries.translation.messages.language import MessagesLanguage
from llmproxy.batteries.translation.responses.language import ResponsesLanguage

LANGUAGES: dict[str, Language] = {
    "chat": ChatLanguage(),
    "messages": MessagesLanguage(),
    "responses": ResponsesLanguage(),
}

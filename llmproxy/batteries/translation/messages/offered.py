"""The tools that a request offers at its end, after deferred, added and removed ones are counted.

Source: Anthropic's "Tool search tool" (`defer_loading`, `tool_reference`), and anthropic-sdk-python
2.14, `types/beta`: `tool_addition` and `tool_removal` in messages of role `system`.
"""

from __future__ import annotations

from llmproxy.batteries.translation.fields import Fields
from llmproxy.batteries.translation.hub import CacheMark, PlainText, Tool

# Values that say the same as their absence.
_NEUTRAL = {
    "allowed_callers": (b'["direct"]',),
    # how the vendor's own line carries the arguments
    "eager_input_streaming": (b"true", b"false"),
}


class OfferedTools:
    """Collects them while a request is read. Mutable; lives for one reading.

    A deferred tool is offered once a result or a message refers to it: the model does not see it
    before. Where Anthropic itself searches, which cannot be carried, all are offered.
    """

    __slots__ = ("_changes", "_deferred", "_searched", "_tools")

    def __init__(self, fields: Fields) -> None:
        """Read the member `tools` of a request."""
        self._tools: dict[str, Tool] = {}
        self._deferred: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._searched = False
        for item in fields.objects("tools"):
            self._read(item)

    def changed(self, block: Fields, kind: str) -> PlainText | None:
        """Read a block of this kind, by which a tool comes or goes; return it in words.

        None: it is about a server's tools, which cannot be carried.
        """
        name = block.text("tool_name") if kind == "tool_reference" else self._named(block)
        if name is None:
            return None
        self._changes[name] = kind != "tool_removal"
        can = "can be called now" if self._changes[name] else "can no longer be called"
        return PlainText(text=f"The tool {name} {can}.", path=block.path)

    def _named(self, block: Fields) -> str | None:
        tool = block.within("tool")
        if tool is None:
            return None
        kind, name, definition = tool.text("type"), tool.text("name"), tool.within("definition")
        tool.end()
        if kind == "tool_definition" and definition is not None:
            return self._read(definition)
        return name if kind == "tool_reference" else None

    def offered(self) -> tuple[Tool, ...]:
        """Return the tools that the model may call now."""
        return tuple(tool for name, tool in self._tools.items() if self._is_offered(name))

    def _is_offered(self, name: str) -> bool:
        return self._changes.get(name, self._searched or name not in self._deferred)

    def _read(self, item: Fields) -> str | None:
        """Read a tool. None: it is one that Anthropic runs, or has trained the model for."""
        item.leave_out(_NEUTRAL)
        kind = item.text("type")
        if kind not in (None, "custom"):
            self._searched = self._searched or (kind or "").startswith("tool_search_tool")
            item.not_carried()
            return None
        name = item.needed_text("name")
        self._tools[name] = Tool(
            name=name,
            description=item.text("description"),
            schema=item.take("input_schema"),
            strict=item.flag("strict"),
            cache=cache_mark(item),
            path=item.path,
        )
        if item.flag("defer_loading"):
            self._deferred.add(name)
        item.end()
        return name


def cache_mark(fields: Fields) -> CacheMark | None:
    """Read the mark of a block or a tool."""
    mark = fields.within("cache_control")
    if mark is None:
        return None
    ttl = mark.text("ttl")
    return "1h" if ttl == "1h" else "5m" if ttl == "5m" else ""

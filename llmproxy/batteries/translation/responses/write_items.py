"""Writing the turns of a conversation as the `input` of a Responses request."""

from __future__ import annotations

from llmproxy.batteries.translation.hub import (
    Attachment,
    Part,
    Picture,
    PlainText,
    Refusal,
    Role,
    Said,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.batteries.translation.losses import Losses
from llmproxy.batteries.translation.openai import bounded
from llmproxy.batteries.translation.sources import data_url

Item = dict[str, object]

MAX_CALL_ID = 64  # characters that the API takes


def write_items(turns: tuple[Said, ...], losses: Losses) -> list[Item]:
    """Return the items. Adds the paths of what no item can say to `losses`."""
    items: list[Item] = []
    for turn in turns:
        content: list[Item] = []  # of the message that is being written
        for part in turn.parts:
            if isinstance(part, ToolCall | ToolResult | Thinking):
                _close(content, turn.role, items)
                content = []
                items += _item(part, losses)
            elif (piece := _piece(part, turn.role, losses)) is not None:
                content.append(piece)
        _close(content, turn.role, items)
    return items


def _close(content: list[Item], role: Role, items: list[Item]) -> None:
    if content:
        items.append({"type": "message", "role": role.value, "content": content})


def _item(part: ToolCall | ToolResult | Thinking, losses: Losses) -> list[Item]:
    match part:
        case ToolCall():
            kind, member = ("custom_tool_call", "input") if part.freeform else _FUNCTION
            call = {"type": kind, "call_id": bounded(part.id, MAX_CALL_ID), "name": part.name}
            return [{**call, member: part.arguments}]
        case ToolResult():
            kind = "custom_tool_call_output" if part.freeform else "function_call_output"
            call_id = bounded(part.call_id, MAX_CALL_ID)
            return [{"type": kind, "call_id": call_id, "output": _output(part, losses)}]
        case Thinking():
            return _reasoning(part)


_FUNCTION = ("function_call", "arguments")


def _output(result: ToolResult, losses: Losses) -> object:
    """Return what a tool gave. No member says that it failed, so the text does."""
    texts = [part.text for part in result.content if isinstance(part, PlainText)]
    failed = "Error: " if result.failed else ""
    if len(texts) == len(result.content):
        return failed + "\n\n".join(texts)
    content = (PlainText(text=failed), *result.content) if failed else result.content
    return [piece for part in content if (piece := _piece(part, Role.USER, losses)) is not None]


def _reasoning(thinking: Thinking) -> list[Item]:
    """Return thinking for the vendor that made it. Of others it takes none, and needs none."""
    if thinking.encrypted is None:
        return []
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    item: Item = {"type": "reasoning"}
    if thinking.id is not None:
        item["id"] = thinking.id
    return [{**item, "summary": summary, "encrypted_content": thinking.encrypted}]


def _piece(part: Part, role: Role, losses: Losses) -> Item | None:
    """Return one part of a message's or a tool output's content."""
    match part:
        case PlainText():
            kind = "output_text" if role is Role.ASSISTANT else "input_text"
            return {"type": kind, "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Picture(file_id=None):
            return _picture(part)
        case Attachment(file_id=None):
            return _attachment(part)
        case _:  # a file of another vendor's
            losses.part(part.path)
            return None


def _picture(picture: Picture) -> Item:
    written: Item = {"type": "input_image"}
    if picture.base64 is not None:
        written["image_url"] = data_url(picture.media_type, picture.base64)
    else:
        written["image_url"] = picture.url
    return written if picture.detail is None else {**written, "detail": picture.detail}


def _attachment(attachment: Attachment) -> Item:
    if attachment.text is not None:
        return {"type": "input_text", "text": attachment.text}
    written: Item = {"type": "input_file"}
    if attachment.name is not None:
        written["filename"] = attachment.name
    if attachment.url is not None:
        return {**written, "file_url": attachment.url}
    if attachment.media_type is None or attachment.base64 is None:
        return {**written, "file_data": attachment.base64}
    return {**written, "file_data": data_url(attachment.media_type, attachment.base64)}

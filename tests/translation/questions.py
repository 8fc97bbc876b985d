"""Questions that every dialect can say, made by Hypothesis, and how to compare them."""

import json

import msgspec
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import (
    Attachment,
    Destination,
    Picture,
    PlainText,
    Question,
    Role,
    Said,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    alternating,
)

OPENAI = Destination(provider="openai", model=None, max_output_tokens=4096)
ANTHROPIC = Destination(provider="anthropic", model="claude-sonnet-4-5", max_output_tokens=4096)

texts = st.text(min_size=1, max_size=40).filter(lambda text: text.strip())
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
ids = st.from_regex(r"call_[a-zA-Z0-9]{1,20}", fullmatch=True)
base64s = st.binary(min_size=1, max_size=12).map(lambda raw: raw.hex())
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def raw(value):
    """A value as msgspec keeps it unread."""
    return msgspec.Raw(json.dumps(value).encode())


schemas = st.dictionaries(names, values, max_size=2).map(
    lambda properties: raw({"type": "object", "properties": properties})
)
arguments = st.dictionaries(names, values, max_size=3).map(json.dumps)
plain = texts.map(lambda text: PlainText(text=text))
pictures = st.builds(
    lambda kind, data: Picture(media_type=kind, base64=data),
    st.sampled_from(("image/png", "image/jpeg")),
    base64s,
) | st.just(Picture(url="https://example.com/cat.png"))
documents = st.builds(
    lambda data, name: Attachment(media_type="application/pdf", base64=data, name=name),
    base64s,
    names.map(lambda name: f"{name}.pdf"),
)
tools = st.lists(
    st.builds(
        lambda name, description, schema: Tool(name=name, description=description, schema=schema),
        names,
        st.none() | texts,
        schemas,
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
)


@st.composite
def conversations(draw):
    """Turns with all that the dialects share; each tool call gets its result."""
    turns = []
    if draw(st.booleans()):
        turns.append(Said(Role.SYSTEM, (draw(plain),)))
    results = ()
    for _ in range(draw(st.integers(1, 3))):
        asked = tuple(draw(st.lists(plain | pictures | documents, min_size=1, max_size=3)))
        turns.append(Said(Role.USER, results + asked))
        calls = draw(
            st.lists(st.tuples(ids, names, arguments), max_size=3, unique_by=lambda c: c[0])
        )
        said = (draw(plain),) if not calls or draw(st.booleans()) else ()
        called = tuple(ToolCall(id=i, name=n, arguments=a) for i, n, a in calls)
        turns.append(Said(Role.ASSISTANT, said + called))
        results = tuple(
            ToolResult(call_id=i, content=(PlainText(text=draw(texts)),)) for i, _, _ in calls
        )
    turns.append(Said(Role.USER, (*results, draw(plain))))
    return tuple(turns)


@st.composite
def questions(draw):
    """Whole requests."""
    offered = tuple(draw(tools))
    choice = None
    if offered:
        named = ToolChoice(ToolChoiceKind.NAMED, offered[0].name)
        kinds = [None, *map(ToolChoice, (ToolChoiceKind.AUTO, ToolChoiceKind.ANY)), named]
        choice = draw(st.sampled_from(kinds))
    return Question(
        model=draw(names),
        turns=draw(conversations()),
        tools=offered,
        tool_choice=choice,
        parallel_tool_calls=draw(st.none() | st.booleans()) if choice else None,
        max_output_tokens=draw(st.integers(1, 10**6)),
        temperature=draw(st.none() | st.sampled_from((0.0, 0.25, 1.0))),
        top_p=draw(st.none() | st.sampled_from((0.5, 1.0))),
        stop=tuple(draw(st.lists(texts, max_size=3))),
        user=draw(st.none() | texts),
        stream=draw(st.booleans()),
    )


def same(question):
    """What two requests that ask the same have in common: no paths, no cuts between texts, and
    JSON by its value."""
    turns = [Said(turn.role, _joined(turn.parts)) for turn in alternating(question.turns)]
    changed = msgspec.structs.replace(
        question, turns=tuple(turns), tools=(), wants_usage=False, paths={}, unknown=()
    )
    offered = [(tool.name, tool.description, _value(tool.schema)) for tool in question.tools]
    return changed, offered, question.unknown


def _joined(parts):
    parts = [_without_path(part) for part in parts]
    if all(isinstance(part, PlainText) for part in parts):
        return (PlainText(text="\n\n".join(part.text for part in parts)),)
    results = [part for part in parts if isinstance(part, ToolResult)]
    rest = [part for part in parts if not isinstance(part, ToolResult)]
    if rest and all(isinstance(part, PlainText) for part in rest):
        rest = [PlainText(text="\n\n".join(part.text for part in rest))]
    return (*results, *rest)


def _without_path(part):
    part = msgspec.structs.replace(part, path="")
    if isinstance(part, ToolCall):
        normal = json.dumps(json.loads(part.arguments), sort_keys=True)
        return msgspec.structs.replace(part, arguments=normal)
    if isinstance(part, ToolResult):
        content = tuple(map(_without_path, part.content))
        return msgspec.structs.replace(part, content=content)
    return part


def _value(schema):
    return None if schema is None else json.dumps(msgspec.json.decode(schema), sort_keys=True)

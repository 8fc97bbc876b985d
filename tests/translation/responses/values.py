"""Values of the hub that can be said in the Responses API, for property tests."""

import json

import msgspec
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import (
    AnswerFormat,
    AnswerTokens,
    Attachment,
    FinishReason,
    ModelAnswer,
    Picture,
    PlainText,
    Question,
    Reasoning,
    Refusal,
    Role,
    Said,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    alternating,
)
from llmproxy.operations import sse

TEXTS = st.text(min_size=1, max_size=30)
WORDS = st.text(st.sampled_from("abc_-XYZ09"), min_size=1, max_size=12)
SCHEMA = b'{"type":"object","properties":{"a":{"type":"string"}}}'


def maybe(values):
    return st.none() | values


def raw(text):
    return msgspec.Raw(text)


tools = st.builds(
    Tool, name=WORDS, description=maybe(TEXTS), schema=st.just(raw(SCHEMA)), strict=st.booleans()
) | st.builds(Tool, name=WORDS, description=maybe(TEXTS), freeform=st.just(True))
pictures = st.builds(
    Picture, media_type=st.just("image/png"), base64=st.just("aWk="), detail=st.just("high")
) | st.builds(Picture, url=st.just("https://example.test/a.png"), detail=st.just("auto"))
documents = st.builds(
    Attachment, media_type=st.just("application/pdf"), base64=st.just("aWk="), name=maybe(WORDS)
)
texts = st.builds(PlainText, text=TEXTS)
calls = st.builds(ToolCall, id=WORDS, name=WORDS, arguments=st.just('{"a": "b"}')) | st.builds(
    ToolCall, id=WORDS, name=WORDS, arguments=TEXTS, freeform=st.just(True)
)
results = st.builds(
    ToolResult,
    call_id=WORDS,
    content=st.tuples(texts) | st.tuples(texts, pictures),
    freeform=st.booleans(),
)
thoughts = st.builds(Thinking, text=TEXTS, encrypted=WORDS)
users = st.builds(
    Said, st.just(Role.USER), st.tuples(results | texts | pictures | documents, texts)
)
assistants = st.builds(Said, st.just(Role.ASSISTANT), st.tuples(thoughts | texts, texts | calls))
system = st.builds(Said, st.just(Role.SYSTEM), st.tuples(texts))
conversations = st.lists(system | users | assistants, max_size=4).map(alternating)
choices = st.builds(
    ToolChoice,
    st.sampled_from((ToolChoiceKind.AUTO, ToolChoiceKind.NONE, ToolChoiceKind.ANY)),
) | st.builds(ToolChoice, st.just(ToolChoiceKind.NAMED), WORDS)
formats = st.just(AnswerFormat()) | st.builds(
    AnswerFormat, schema=st.just(raw(SCHEMA)), name=WORDS, strict=maybe(st.booleans())
)
efforts = st.sampled_from(("low", "medium", "high"))
questions = st.builds(
    Question,
    model=st.just("gpt-5"),
    turns=conversations,
    tools=st.lists(tools, max_size=3, unique_by=lambda tool: tool.name).map(tuple),
    tool_choice=maybe(choices),
    parallel_tool_calls=maybe(st.booleans()),
    max_output_tokens=maybe(st.integers(16, 10**6)),
    temperature=maybe(st.sampled_from((0.0, 0.5, 1.0))),
    top_p=maybe(st.sampled_from((0.1, 1.0))),
    answer_format=maybe(formats),
    reasoning=maybe(st.builds(Reasoning, effort=efforts, shown=st.sampled_from((None, True)))),
    user=maybe(WORDS),
    stream=st.booleans(),
    also=st.just({}) | st.just({"metadata": raw(b'{"a":"b"}'), "prompt_cache_key": raw(b'"k"')}),
)

# ---- answers

said = st.builds(PlainText, text=TEXTS) | st.builds(Refusal, text=TEXTS)
asked = st.builds(ToolCall, id=WORDS, name=WORDS, arguments=st.just('{"a": "b"}'))
signed = st.builds(Thinking, text=st.text(max_size=20), signature=WORDS) | st.builds(
    Thinking, redacted=WORDS
)
tokens = st.builds(
    AnswerTokens,
    input=st.integers(0, 999),
    output=st.integers(0, 999),
    cache_read=st.integers(0, 99),
    cache_written=st.integers(0, 99),
    reasoning=st.integers(0, 99),
)


def finished(parts, tokens, cut):
    """Return an answer whose end fits its parts."""
    kinds = {type(part) for part in parts}
    usual = FinishReason.DONE
    if ToolCall in kinds:
        usual = FinishReason.TOOL_CALLS
    elif Refusal in kinds:
        usual = FinishReason.REFUSED
    return ModelAnswer(
        id="resp_1",
        model="m",
        parts=tuple(parts),
        finish=FinishReason.OUTPUT_LIMIT if cut else usual,
        tokens=tokens,
    )


answers = st.builds(
    finished, st.lists(said | asked | signed, max_size=5), maybe(tokens), st.booleans()
)


def told(stream):
    """Return the events of a stream as JSON. Each is named as its `type` says."""
    events, rest = sse.split_events(stream)
    assert not rest
    read = []
    for event in events:
        name, data = sse.fields(event)
        read.append(json.loads(data))
        assert read[-1]["type"] == name.decode()
    return read

"""Answers and streams that every dialect can write, made by Hypothesis."""

import json

import msgspec
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import (
    AnswerFinished,
    AnswerStarted,
    AnswerTokens,
    FinishReason,
    ModelAnswer,
    PartEnded,
    PartGrew,
    PartStarted,
    PlainText,
    Question,
    SignOfLife,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.growing import grown
from tests.translation.questions import arguments, names, texts

ASKED = Question(stream=True)
THOUGHTS = st.none() | st.builds(lambda text: Thinking(text=text), texts)

tokens = st.builds(
    lambda read, written, fresh, output: AnswerTokens(
        input=read + written + fresh, output=output, cache_read=read, cache_written=written
    ),
    *[st.integers(0, 1000)] * 4,
)


@st.composite
def answers(draw, thinking=THOUGHTS):
    """Whole answers: thinking, then text, then calls of tools, each maybe."""
    thought, text = draw(thinking), draw(st.none() | texts)
    calls = draw(
        st.lists(st.tuples(st.uuids(), names, arguments), max_size=3, unique_by=lambda c: c[0])
    )
    parts = () if thought is None else (thought,)
    parts += () if text is None else (PlainText(text=text),)
    parts += tuple(ToolCall(id=f"call_{i.hex}", name=n, arguments=a) for i, n, a in calls)
    ends = (FinishReason.DONE, FinishReason.OUTPUT_LIMIT, FinishReason.REFUSED)
    return ModelAnswer(
        id=draw(names),
        model=draw(names),
        parts=parts,
        finish=FinishReason.TOOL_CALLS if calls else draw(st.sampled_from(ends)),
        tokens=draw(tokens),
    )


def events_of(answer, pieces):
    """The stream of an answer, each text in so many pieces."""
    yield AnswerStarted(answer.id, answer.model)
    for index, part in enumerate(answer.parts):
        member = "arguments" if isinstance(part, ToolCall) else "text"
        whole = getattr(part, member)
        seal = part.signature if isinstance(part, Thinking) else None
        changed = {member: ""} | ({"signature": None} if isinstance(part, Thinking) else {})
        yield PartStarted(index, msgspec.structs.replace(part, **changed))
        size = max(1, -(-len(whole) // pieces))
        for start in range(0, len(whole), size):
            yield PartGrew(index, whole[start : start + size])
        if seal is not None:
            yield PartGrew(index, signature=seal)
        yield PartEnded(index)
    yield AnswerFinished(answer.finish, answer.tokens)


def answer_of(events):
    """What a stream's events come to. Holds that they keep the hub's order."""
    head = finish = opened = None
    parts = []
    for event in events:
        match event:
            case SignOfLife():
                continue
            case AnswerStarted():
                assert head is None
                head = event
            case PartStarted():
                assert opened is None
                assert event.index == len(parts)
                opened = event.part
            case PartGrew():
                assert event.index == len(parts)
                opened = grown(opened, event)
            case PartEnded():
                assert event.index == len(parts)
                parts.append(opened)
                opened = None
            case AnswerFinished():
                assert finish is None
                finish = event
            case _:
                raise AssertionError(event)
    assert opened is None
    assert head is not None
    assert finish is not None
    return ModelAnswer(
        id=head.id,
        model=head.model,
        parts=tuple(parts),
        finish=finish.finish,
        stop_text=finish.stop_text,
        tokens=finish.tokens,
    )


def plain(answer):
    """An answer without what one dialect alone tells, and with JSON by its value."""
    parts = tuple(
        msgspec.structs.replace(part, arguments=json.dumps(json.loads(part.arguments or "{}")))
        if isinstance(part, ToolCall)
        else part
        for part in answer.parts
    )
    return msgspec.structs.replace(answer, created=None, parts=parts)


def read_in_pieces(reader, stream, size):
    """All events of a stream that arrives in chunks of this size."""
    events = []
    for start in range(0, len(stream), size):
        events += reader.read(stream[start : start + size])
    return events + reader.read(b"")

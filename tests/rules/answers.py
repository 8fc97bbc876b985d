"""Answers as vendors give them, by the hundred: for properties of whatever reads them."""

from hypothesis import strategies as st

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
TEXTS = WORDS | st.builds(lambda word, times: word * times, WORDS, st.integers(1, 40))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
# Fields that no dialect has today.
UNKNOWN = st.dictionaries(st.sampled_from(["x_new", "x_other", "provider_fields"]), VALUES)
IDS = st.text("abcdef0123456789", min_size=4, max_size=12)
CITATIONS = st.builds(
    lambda url: {
        "type": "url_citation",
        "url_citation": {"url": url, "title": "a", "start_index": 0, "end_index": 1},
    },
    IDS.map("https://{}.example".format),
)


def maybe(values):
    return st.none() | values


@st.composite
def calls(draw):
    custom = draw(st.booleans())
    kind, text = ("custom", "input") if custom else ("function", "arguments")
    part = {"name": draw(IDS), text: draw(TEXTS)}
    return {"id": "call_" + draw(IDS), "type": kind, kind: part} | draw(UNKNOWN)


@st.composite
def messages(draw, annotations):
    message = {"role": "assistant", "content": draw(maybe(TEXTS))} | draw(UNKNOWN)
    for key in ("refusal", "reasoning_content", "reasoning"):
        if draw(st.booleans()):
            message[key] = draw(maybe(TEXTS))
    if draw(st.booleans()):
        message["tool_calls"] = draw(maybe(st.lists(calls(), max_size=3)))
    if draw(st.booleans()):
        message["annotations"] = draw(st.lists(annotations, max_size=2))
    if draw(st.booleans()):
        message["function_call"] = draw(maybe(st.just({"name": "f", "arguments": "{}"})))
    if draw(st.booleans()):
        audio = {"id": "audio_1", "data": "QUJD", "transcript": "abc", "expires_at": 5}
        message["audio"] = draw(maybe(st.just(audio)))
    return message


@st.composite
def logprobs_of(draw, text):
    tokens = [text[at : at + 3] for at in range(0, len(text), 3)]
    if draw(st.booleans()):
        tokens = tokens[1:]  # then they do not add up to the text
    token_logprobs = [
        {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in tokens
    ]
    return {"content": draw(st.sampled_from([token_logprobs, None])), "refusal": None}


@st.composite
def chat_choices(draw, index, annotations):
    message = draw(messages(annotations))
    choice = {"index": index, "message": message} | draw(UNKNOWN)
    choice["finish_reason"] = draw(st.sampled_from(["stop", "length", "tool_calls"]))
    if draw(st.booleans()):
        choice["logprobs"] = draw(maybe(logprobs_of(message["content"] or "")))
    if draw(st.booleans()):
        choice["content_filter_results"] = {"hate": {"filtered": False}}
    return choice


USAGES = st.builds(
    lambda a, b: {"prompt_tokens": a, "completion_tokens": b, "total_tokens": a + b},
    st.integers(0, 999),
    st.integers(0, 999),
)


@st.composite
def envelopes(draw, kind):
    top = {"id": draw(IDS), "object": kind, "created": draw(st.integers(0, 2**31))}
    top |= {"model": draw(IDS)} | draw(UNKNOWN)
    if draw(st.booleans()):
        top |= {"service_tier": draw(maybe(st.just("default")))}
    if draw(st.booleans()):
        top |= {"system_fingerprint": draw(maybe(IDS))}
    if draw(st.booleans()):
        top["usage"] = draw(maybe(USAGES))
    return top


@st.composite
def chats(draw, annotations=VALUES):
    top = draw(envelopes("chat.completion"))
    count = draw(st.integers(1, 3))
    return top | {"choices": [draw(chat_choices(index, annotations)) for index in range(count)]}


@st.composite
def completions(draw):
    top = draw(envelopes("text_completion"))
    choices = []
    for index in range(draw(st.integers(1, 3))):
        choice = {"index": index, "text": draw(TEXTS), "finish_reason": "stop"} | draw(UNKNOWN)
        if draw(st.booleans()):
            tokens = {"tokens": ["a"], "token_logprobs": [-1.0], "text_offset": [0]}
            choice["logprobs"] = draw(maybe(st.just(tokens)))
        choices.append(choice)
    return top | {"choices": choices}


@st.composite
def items(draw):
    """One item of a response's output."""
    text, id_ = draw(TEXTS), draw(IDS)
    summary = [{"type": "summary_text", "text": text}]
    annotation = {
        **{"type": "url_citation", "url": "https://a.example", "title": "a"},
        **{"start_index": 0, "end_index": 1},
    }
    annotations = draw(st.lists(st.just(annotation), max_size=2))
    part = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
    refusal = {"type": "refusal", "refusal": text}
    message = {"id": id_, "type": "message", "role": "assistant", "status": "completed"}
    call = {"id": id_, "type": "function_call", "call_id": "c1", "name": "f", "arguments": text}
    custom = {"id": id_, "type": "custom_tool_call", "call_id": "c1", "name": "f", "input": text}
    search = {"id": id_, "type": "web_search_call", "status": "completed"}
    search["action"] = {"type": "search", "query": text}
    return draw(
        st.sampled_from(
            [
                {**message, "content": [part]},
                {**message, "content": [refusal]},
                {**message, "content": [part, refusal]},
                {**call, "status": "completed"},
                custom,
                {"id": id_, "type": "reasoning", "summary": summary},
                {"id": id_, "type": "reasoning", "summary": []},
                {
                    **{"id": id_, "type": "reasoning", "summary": summary},
                    "content": [{"type": "reasoning_text", "text": text}],
                },
                search,
            ]
        )
    )


@st.composite
def responses(draw):
    return {
        **{"id": "resp_" + draw(IDS), "object": "response", "created_at": 5},
        **{"status": "completed", "error": None, "incomplete_details": None},
        **{"instructions": None, "model": "gpt-4.1", "parallel_tool_calls": True},
        **{"temperature": 0.0, "tool_choice": "auto", "tools": [], "top_p": 1.0},
        "output": draw(st.lists(items(), max_size=4)),
        "usage": {
            **{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        **draw(st.sampled_from([{}, {"completed_at": 9}])),
        **draw(UNKNOWN),
    }

"""Calls as applications make them: a name, and a function of a client and of what names models.

Each returns what the client does: an answer, a stream, or (async clients) a coroutine.
"""

from typing import Literal

from pydantic import BaseModel

CHAT = "gpt-4.1"
EMBEDDING = "text-embedding-3-small"
SPEECH = "gpt-4o-mini-tts"
TRANSCRIBE = "gpt-4o-transcribe"

HELLO = [{"role": "user", "content": "Hello, wörld! 你好"}]
WEATHER = [{"role": "user", "content": "Ask get_weather about Paris."}]
LOOK = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
    }
]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True},
    }
]
RESPONSES_TOOLS = [
    {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
]
AFTER_TOOL = [
    *WEATHER,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Paris","days":1}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "19 °C and sunny"},
]
REFUSE = {"x-simulator-fault": "refusal"}
SOUND = ("speech.wav", b"RIFF" + bytes(range(256)) * 300, "audio/wav")


class Weather(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    sky: Literal["clear", "cloudy"]
    degrees: list[float]


CHATS = {
    "a chat": lambda c, m: c.chat.completions.create(model=m(CHAT), messages=HELLO),
    "two choices": lambda c, m: c.chat.completions.create(model=m(CHAT), messages=HELLO, n=2),
    "a chat cut short": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, max_completion_tokens=3
    ),
    "a chat with an image": lambda c, m: c.chat.completions.create(model=m(CHAT), messages=LOOK),
    "a chat with unknown fields": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, extra_body={"tomorrow": {"model": "x"}}
    ),
    "a tool call": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=WEATHER, tools=TOOLS
    ),
    "a forced tool call": lambda c, m: c.chat.completions.create(
        model=m(CHAT),
        messages=HELLO,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    ),
    "a tool's result": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=AFTER_TOOL, tools=TOOLS
    ),
    "a parsed answer": lambda c, m: c.chat.completions.parse(
        model=m(CHAT), messages=HELLO, response_format=Weather
    ),
    "a JSON answer": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, response_format={"type": "json_object"}
    ),
    "a refusal": lambda c, m: c.chat.completions.parse(
        model=m(CHAT), messages=HELLO, response_format=Weather, extra_headers=REFUSE
    ),
    "a stream": lambda c, m: c.chat.completions.create(model=m(CHAT), messages=HELLO, stream=True),
    "a stream with usage": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, stream=True, stream_options={"include_usage": True}
    ),
    "a stream of two choices": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, stream=True, n=2
    ),
    "a streamed tool call": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=WEATHER, tools=TOOLS, stream=True
    ),
    "a streamed refusal": lambda c, m: c.chat.completions.create(
        model=m(CHAT), messages=HELLO, stream=True, extra_headers=REFUSE
    ),
    "a stream that trickles in": lambda c, m: c.chat.completions.create(
        model=m(CHAT),
        messages=HELLO,
        stream=True,
        max_completion_tokens=4,
        extra_headers={"x-simulator-fault": "trickle"},
    ),
    "a completion": lambda c, m: c.completions.create(model=m(CHAT), prompt="Once upon"),
    "two completions": lambda c, m: c.completions.create(model=m(CHAT), prompt=["a", "b"], n=2),
    "a streamed completion": lambda c, m: c.completions.create(
        model=m(CHAT), prompt="Once upon", stream=True
    ),
}

RESPONSES = {
    "a response": lambda c, m: c.responses.create(model=m(CHAT), input="Hello, wörld!"),
    "a response to items": lambda c, m: c.responses.create(
        model=m(CHAT), input=HELLO, instructions="Be brief.", metadata={"a": "b"}, store=False
    ),
    "a response cut short": lambda c, m: c.responses.create(
        model=m(CHAT), input="Hello", max_output_tokens=16
    ),
    "a response's tool call": lambda c, m: c.responses.create(
        model=m(CHAT), input=WEATHER, tools=RESPONSES_TOOLS
    ),
    "a response to a tool's result": lambda c, m: c.responses.create(
        model=m(CHAT),
        tools=RESPONSES_TOOLS,
        input=[
            *WEATHER,
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        ],
    ),
    "a parsed response": lambda c, m: c.responses.parse(
        model=m(CHAT), input="Hello", text_format=Weather
    ),
    "a response's refusal": lambda c, m: c.responses.create(
        model=m(CHAT), input="Hello", extra_headers=REFUSE
    ),
    "a streamed response": lambda c, m: c.responses.create(
        model=m(CHAT), input="Hello", stream=True
    ),
    "a streamed response's tool call": lambda c, m: c.responses.create(
        model=m(CHAT), input=WEATHER, tools=RESPONSES_TOOLS, stream=True
    ),
    "a streamed response cut short": lambda c, m: c.responses.create(
        model=m(CHAT), input="Hello", max_output_tokens=16, stream=True
    ),
    "a count of input tokens": lambda c, m: c.responses.input_tokens.count(
        model=m(CHAT), input="Hello"
    ),
}

OTHERS = {
    "an embedding": lambda c, m: c.embeddings.create(model=m(EMBEDDING), input="wörld"),
    "embeddings as numbers": lambda c, m: c.embeddings.create(
        model=m(EMBEDDING), input=["one", "two"], encoding_format="float"
    ),
    "embeddings in base64": lambda c, m: c.embeddings.create(
        model=m(EMBEDDING), input=["one", "two"], encoding_format="base64"
    ),
    "embeddings of tokens": lambda c, m: c.embeddings.create(
        model=m(EMBEDDING), input=[[9906, 1917], [2]], dimensions=8
    ),
    "an embedding of one list of tokens": lambda c, m: c.embeddings.create(
        model=m(EMBEDDING), input=[9906, 1917]
    ),
    "moderations": lambda c, m: c.moderations.create(
        model=m("omni-moderation-latest"), input=["a kiss", "kill"]
    ),
    "speech": lambda c, m: c.audio.speech.create(
        model=m(SPEECH), voice="alloy", input="Hello there", response_format="wav"
    ),
    "a transcription": lambda c, m: c.audio.transcriptions.create(model=m(TRANSCRIBE), file=SOUND),
    "a transcription as text": lambda c, m: c.audio.transcriptions.create(
        model=m("whisper-1"), file=SOUND, response_format="srt"
    ),
    "a transcription with segments": lambda c, m: c.audio.transcriptions.create(
        model=m("whisper-1"), file=SOUND, response_format="verbose_json"
    ),
    "a streamed transcription": lambda c, m: c.audio.transcriptions.create(
        model=m(TRANSCRIBE), file=SOUND, stream=True
    ),
    "a translation": lambda c, m: c.audio.translations.create(model=m("whisper-1"), file=SOUND),
    "an image": lambda c, m: c.images.generate(model=m("gpt-image-1"), prompt="a cat", n=2),
    "an edited image": lambda c, m: c.images.edit(
        model=m("gpt-image-1"), prompt="a dog", image=("cat.png", b"\x89PNG", "image/png")
    ),
    "a rerank": lambda c, m: c.post(
        "/rerank",
        cast_to=object,
        body={"model": m("rerank-simulated"), "query": "a b", "documents": ["b c", "a b"]},
    ),
}

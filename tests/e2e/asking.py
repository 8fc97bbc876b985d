"""What the tests ask, with the OpenAI client. It never retries: what fails is seen."""

import json

from openai import OpenAI

from tests.e2e.servers import GROUP

STORY = [{"role": "user", "content": "Tell a story about a lighthouse."}]
# Greedy and without what a server remembers of earlier prompts: the same text from every server.
# The OpenAI client does not know `cache_prompt`; llama.cpp must get it all the same.
EXACT = {"temperature": 0, "extra_body": {"cache_prompt": False}}

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Berlin", "Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CHAT_TOOL = {"type": "function", "function": WEATHER}
RESPONSES_TOOL = {"type": "function", **WEATHER}


def client_of(base_url):
    return OpenAI(base_url=base_url, api_key="any", max_retries=0, timeout=60)


def tell(client, **options):
    """A short story, whole."""
    options = {"max_tokens": 24, **EXACT, **options}
    return client.chat.completions.create(model=GROUP, messages=STORY, **options)


def endpoint_of(raw):
    """Which endpoint gave this raw response."""
    return raw.headers["x-llmproxy-endpoint"]


def asked_for_weather(city, number):
    """An assistant's turn that calls the tool."""
    function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


# A model of 135 million parameters calls a tool when it has seen how. Here it has, once.
SEEN_ONCE = [
    {"role": "user", "content": "What is the weather in Rome?"},
    asked_for_weather("Rome", 1),
    {"role": "tool", "tool_call_id": "call_1", "content": "19 degrees"},
    {"role": "assistant", "content": "It is 19 degrees in Rome."},
]
IN_PARIS = {"role": "user", "content": "What is the weather in Paris?"}
SEEN_ONCE_AS_ITEMS = [
    {"type": "message", **SEEN_ONCE[0]},
    {
        "type": "function_call",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": '{"city": "Rome"}',
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "19 degrees"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It is 19 degrees in Rome."}],
    },
]

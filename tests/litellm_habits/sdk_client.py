"""A client program with LiteLLM's SDK: prints what it got, as JSON. Arguments: address, key."""

import json
import sys

import litellm

litellm.telemetry = False
ask = {"model": "litellm_proxy/gpt", "api_base": sys.argv[1], "api_key": sys.argv[2]}
ask["messages"] = [{"role": "user", "content": "hi"}]

whole = litellm.completion(**ask, extra_body={"tags": ["nightly"], "metadata": {"tags": ["x"]}})
chunks = [chunk.choices[0].delta.content for chunk in litellm.completion(**ask, stream=True)]
try:
    litellm.completion(**{**ask, "model": "litellm_proxy/nope"})
    error = None
except litellm.NotFoundError as not_found:
    error = str(not_found)
found = {
    "text": whole.choices[0].message.content,
    "cost": whole._hidden_params["response_cost"],
    "chunks": [chunk for chunk in chunks if chunk],
    "error": error,
}
sys.stdout.write(json.dumps(found))

"""A client program with LiteLLM's SDK: prints what it got, as JSON.

Arguments: the proxy's address, a client's key, the admin key.
"""

import json
import sys

import litellm
from litellm.proxy.client import Client

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
proxy = Client(base_url=sys.argv[1], api_key=sys.argv[3])
made = proxy.keys.generate(models=["gpt"], key_alias="nightly", team_id="search", duration="30d")
told = proxy.keys.info(key=made["key"])["info"]
proxy.keys.delete(key_aliases=["nightly"])
found = {
    "models": [model["model_name"] for model in proxy.models.info()],
    "deployment": proxy.models.get(model_id="east")["model_name"],
    "groups": [group["model_group"] for group in proxy.model_groups.info()],
    "key": [told["key_alias"], told["team_id"], told["models"]],
    "keys_left": proxy.keys.list()["keys"],
    "teams": [team["team_id"] for team in proxy.teams.list()],
    "text": whole.choices[0].message.content,
    "cost": whole._hidden_params["response_cost"],
    "chunks": [chunk for chunk in chunks if chunk],
    "error": error,
}
sys.stdout.write(json.dumps(found))

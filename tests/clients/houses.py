"""Configs of proxies in front of one vendor. They never retry: what is compared is one attempt."""

from llmproxy.tools.simulator.settings import USUAL_MODELS
from tests.support.proxy import config_for

# What the calls of these tests ask for.
MODELS = (
    *USUAL_MODELS,
    "omni-moderation-latest",
    "gpt-4o-mini-tts",
    "gpt-4o-transcribe",
    "whisper-1",
    "gpt-image-1",
    "rerank-simulated",
)
SEED = 7  # of every vendor here: its clock stands still


def everything_to(base_url, **params):
    """A config whose one endpoint takes every model under its own name."""
    params = {"base_url": base_url, "api_key": "sk-upstream", **params}
    return config_for({"params": params}, group="*", num_retries=0)


def renaming(base_url):
    """A config with a group for each usual model, under a name that the vendor does not know."""
    config = everything_to(base_url)
    params = config["model_groups"][0]["models"][0]["params"]
    config["model_groups"] = [
        {"model_group": f"our-{name}", "models": [{"model": name, "params": params}]}
        for name in MODELS
    ]
    return config

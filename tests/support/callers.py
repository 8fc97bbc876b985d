"""Callers: their keys, their headers and their config."""

from llmproxy.calls import Call, Patience
from llmproxy.operations.table import Replay, route_to
from tests.support.proxy import config_for

KEYS = {"alice": "sk-caller-a-secret", "bob": "sk-caller-b-secret"}
CALLERS = [{"name": name, "key": key} for name, key in KEYS.items()]


def as_caller(name):
    return [("authorization", f"Bearer {KEYS[name]}")]


KEY_A, KEY_B = "sk-caller-a-secret", "sk-caller-b-secret"


def bearer(key):
    return [("authorization", f"Bearer {key}")]


def with_callers(vendor, *callers, groups=("gpt-4.1",), api_key="sk-upstream", **settings):
    """Return a config with callers, and groups of one endpoint each."""
    params = {"base_url": vendor.base_url, "api_key": api_key}
    config = config_for(
        {"params": {key: value for key, value in params.items() if value}},
        callers=list(callers),
        **settings,
    )
    (group,) = config["model_groups"]
    config["model_groups"] = [{**group, "model_group": name} for name in groups]
    return config


def team_a(**more):
    return {"name": "team-a", "key": KEY_A, **more}


def team_b(**more):
    return {"name": "team-b", "key": KEY_B, **more}


def call(*, model="gpt-4.1", caller="team-a", body=b"{}", max_output_tokens=None):
    return Call(
        id="c",
        method="POST",
        route=route_to("chat/completions"),
        query=b"",
        headers=[],
        body=body,
        model=model,
        model_in_body=model,
        stream=False,
        replay=Replay.SAFE,
        bound_to_account=False,
        client="127.0.0.1",
        received_at=0.0,
        patience_s=9.0,
        patience=Patience(9.0),
        ends_at=9.0,
        max_output_tokens=max_output_tokens,
        caller=caller,
    )

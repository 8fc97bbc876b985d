"""Conversations for tests of affinity: their bodies, calls and groups; nothing is sent."""

import json

from msgspec.structs import replace

from llmproxy.batteries.affinity import affinity_of
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.reload.carried_over import CarriedOver
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.providers import endpoints_of
from llmproxy.routing import CallDemand
from llmproxy.runtime import pool_of
from tests.routing.pools import call

NOW = 100.0
RULES = "You are a careful assistant and follow each of these rules. " * 100


def messages(name, turn=0, system=RULES):
    """The messages of a chat at its n-th turn, counted from 0."""
    begin = [{"role": "system", "content": system}, {"role": "user", "content": f"About {name}:"}]
    turns = [
        message
        for number in range(turn)
        for message in (
            {"role": "assistant", "content": f"Answer {number}."},
            {"role": "user", "content": f"And {number}?"},
        )
    ]
    return begin + turns


def turn_of(name, turn=0, **more):
    """A call that is the n-th turn of a chat."""
    return asking({"model": "g", "messages": messages(name, turn), **more})


def asking(body, *, path="chat/completions", headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return replace(call("g", path=path), body=data, headers=list(headers))


def pool(*entries, groups_own="", before=None, **settings):
    """A pool with a group `g` of endpoints, given as names or as (name, settings).

    `before`: the pool that it replaces.
    """
    pairs = [entry if isinstance(entry, tuple) else (entry, "") for entry in entries]
    lines = [
        f"      - {{name: {name}, model: m, {more}"
        f"params: {{api_key: k, base_url: 'http://{name}.test/v1'}}}}"
        for name, more in pairs
    ]
    text = "\n".join(
        ["model_groups:", "  - model_group: g", groups_own, "    models:", *lines]
        + ["general_settings:", "  num_retries: 1", "  allowed_fails: 1"]
        + [f"  {key}: {value}" for key, value in settings.items()]
    )
    config = parse_config(text, {}, file="test.yaml")
    endpoints = endpoints_of(config)
    states = None
    if before is not None:
        states = CarriedOver(config.general_settings, before, endpoints)
    return pool_of(
        config,
        endpoints=endpoints,
        states=states,
        strategies=ALL_STRATEGIES,
        affinity=affinity_of,
    )


def group(*entries, **settings):
    return pool(*entries, **settings).groups["g"]


def state_of(group, name):
    return next(state for state in group.states if state.endpoint.name == name)


def demand(group, call):
    conversation = None if group.affinity is None else group.affinity(call)
    return CallDemand(conversation=conversation)


def begin(group, call, now=NOW):
    """The checkout of a call, and its demand."""
    wanted = demand(group, call)
    return group.take_as_newcomer(wanted, now), wanted


def serve(group, call, now=NOW):
    """The name of the endpoint that answers a call, which is over then."""
    return serve_and_say_why(group, call, now)[0]


def serve_and_say_why(group, call, now=NOW):
    """The name of the endpoint that answers a call, and why it was preferred."""
    checkout, wanted = begin(group, call, now)
    reason = None
    if wanted.conversation is not None:
        reason = wanted.conversation.served(checkout.state, now)
    checkout.answered(now)
    checkout.end(now)
    return checkout.state.endpoint.name, reason

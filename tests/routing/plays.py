"""Plays of one call in a group: what each endpoint answers, without a clock and without any I/O."""

from types import SimpleNamespace

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.hedging import Hedger
from llmproxy.operations import Replay
from llmproxy.routing import CallDemand
from llmproxy.routing.actions import AttemptPolicy, GiveUp, Pause, Try, WaitInLine
from llmproxy.routing.attempts import Attempts
from llmproxy.runtime import pool_of
from tests.support.faults import failure_at

DRAW = 0.5


def group_of(names="ab", *, limits="", **general):
    lines = ["model_groups:", "  - model_group: g", "    models:"]
    lines += [
        f"      - {{name: {name}, model: m, params: {{api_key: k-{name}}}{limits}}}"
        for name in names
    ]
    lines += ["general_settings:", *(f"  {key}: {value}" for key, value in general.items())]
    config = parse_config("\n".join(lines if general else lines[:-1]), {}, file="test.yaml")
    policy = AttemptPolicy(config.general_settings.num_retries + 1, config.general_settings.queue)
    return pool_of(config, hedging=Hedger()).groups["g"], policy


def attempts_in(
    group, policy, *, now=0.0, replay=Replay.SAFE, caller=None, total_s=600.0, hedgeable=True
):
    call = SimpleNamespace(
        replay=replay,
        deadline_at=now + total_s,
        caller=caller,
        hedgeable=hedgeable,
        model=None,
        stream=False,
        thinks=None,
    )
    return Attempts(group, call, CallDemand(), policy)


def silent(group, policy, *, now=0.0, **call):
    """Return a call whose first attempt is under way, and that attempt."""
    attempts = attempts_in(group, policy, now=now, **call)
    return attempts, attempts.next(now, DRAW)


def name_of(attempt):
    """Return the endpoint that an attempt asks."""
    return attempt.checkout.state.endpoint.name


def play(group, policy, script, *, now=0.0, draw=DRAW, **call):
    """Drive one call to its end. `script`: what each endpoint answers, call by call; the last one
    for ever. Returns (endpoints that were asked, error or None, seconds that it took)."""
    attempts, began_at = attempts_in(group, policy, now=now, **call), now
    left, asked = {name: list(faults) for name, faults in script.items()}, []
    while True:
        match attempts.next(now, draw):
            case Try() as attempt:
                name = attempt.checkout.state.endpoint.name
                asked.append(name)
                faults = left[name]
                failure = failure_at(name, faults.pop(0) if len(faults) > 1 else faults[0])
                if failure is None:
                    attempts.accepted(attempt, now)
                    attempts.finished(attempt, now, used_tokens=None)
                    return asked, None, now - began_at
                attempts.failed(attempt, failure, now, draw)
            case WaitInLine(at_most_s):
                waited_s = min(at_most_s, group.available_in_s(attempts.demand, now, newcomer=True))
                now += waited_s
                attempts.left_queue(group.take(attempts.demand, now), waited_s)
            case Pause(seconds):
                now += seconds
            case GiveUp(error):
                attempts.close(now)
                return asked, error, now - began_at

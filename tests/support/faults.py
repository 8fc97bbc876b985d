"""Failures of a scripted endpoint, by name; None is an answer."""

from llmproxy.errors import (
    Answer,
    ConnectFailed,
    CredentialRejected,
    Misconfigured,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TimedOut,
    UpstreamFailed,
)


def _answer(status):
    return Answer(status, [], b"{}")


FAULTS = {
    "ok": lambda: None,
    "failed": lambda: UpstreamFailed("failed", answer=_answer(500)),
    "lost": lambda: UpstreamFailed("reset"),
    "unreachable": lambda: ConnectFailed("no connection"),
    "silent": lambda: TimedOut("silence", phase="first byte"),
    "rejected": lambda: RequestRejected("no", answer=_answer(400)),
    "refused": lambda: CredentialRejected("wrong key", answer=_answer(401)),
    "misconfigured": lambda: Misconfigured("no such model", answer=_answer(404)),
    "unpaid": lambda: QuotaExhausted("no money", answer=_answer(429)),
    "throttled": lambda: Throttled("too fast", retry_after_s=30, answer=_answer(429)),
    "throttled for a moment": lambda: Throttled("too fast", retry_after_s=2, answer=_answer(429)),
    "overloaded": lambda: Overloaded("busy", answer=_answer(503)),
}


def failure_at(name, fault):
    """Return the failure of an endpoint; None if it answers."""
    failure = FAULTS[fault]()
    if failure is not None:
        failure.endpoint = name
    return failure

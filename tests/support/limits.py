"""Answers that report rate limits, and refusals for a rate limit."""

from tests.support.vendor import chat, error_body, http


def limit_headers(remaining, reset, *, limit=1000):
    """Return the headers that report a limit on requests."""
    return [
        ("x-ratelimit-limit-requests", str(limit)),
        ("x-ratelimit-remaining-requests", str(remaining)),
        ("x-ratelimit-reset-requests", reset),
    ]


def reports_limits(remaining, reset, *, limit=1000, name="good"):
    """Return a vendor that answers every call and reports how many requests are left.

    A reset time that is not in proportion to the missing requests means a fixed window.
    """
    steps = [http(chat(name), headers=limit_headers(remaining, reset, limit=limit))]
    return lambda received, number: steps


def refusal(*headers):
    """Return a 429 response."""
    return http(error_body("rate_limit_exceeded"), status=429, headers=headers)

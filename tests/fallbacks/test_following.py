"""Which group is asked next, and which error the client gets in the end."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.fallbacks import Fallbacks, Followers, followers_of
from llmproxy.errors import NoEndpoint, RequestRejected, TimedOut, UpstreamFailed
from llmproxy.runtime import pool_of


def fallbacks_of(**settings):
    """Return what is left for a call of group `a`, which may fall back as the settings say."""
    lines = "".join(f", {name}: [{', '.join(groups)}]" for name, groups in settings.items())
    text = "model_groups:\n" + "".join(
        f"  - {{model_group: {name}{lines if name == 'a' else ''},"
        f" models: [{{model: m, params: {{api_key: k-{name}}}}}]}}\n"
        for name in "abc"
    )
    config = parse_config(text, {}, file="test.yaml")
    return Fallbacks(followers_of(config, pool_of(config)).get("a", Followers()))


def no_endpoint(group="a", retry_after_s=None, code=None):
    error = NoEndpoint(group, [], [], retry_after_s=retry_after_s)
    error.code = code or error.code
    return error


def too_long():
    error = RequestRejected("too long")
    error.code = "context_length_exceeded"
    return error


def names(fallbacks, *errors, may_go_elsewhere=True):
    """Return the group that follows each error; None if the call ends."""
    groups = [fallbacks.after(error, may_go_elsewhere=may_go_elsewhere) for error in errors]
    return [group and group.name for group in groups]


def test_the_fallbacks_are_asked_in_their_order_and_then_the_call_ends():
    fallbacks = fallbacks_of(fallbacks=["b", "c"])
    first = no_endpoint()
    assert names(fallbacks, first, no_endpoint(), no_endpoint()) == ["b", "c", None]
    assert fallbacks.error is first


def test_a_call_that_may_have_taken_effect_has_no_fallback():
    assert names(fallbacks_of(fallbacks=["b"]), no_endpoint(), may_go_elsewhere=False) == [None]


def test_a_call_whose_time_is_over_has_no_fallback():
    late = no_endpoint(code="deadline_exceeded")
    assert names(fallbacks_of(fallbacks=["b"]), late) == [None]
    assert names(fallbacks_of(fallbacks=["b"]), TimedOut("silent", phase="first byte")) == ["b"]


def test_a_rejected_call_falls_back_only_if_its_prompt_is_too_long_and_only_where_that_helps():
    both = {"fallbacks": ["b"], "context_window_fallbacks": ["c"]}
    assert names(fallbacks_of(**both), RequestRejected("no")) == [None]
    assert names(fallbacks_of(**both), too_long(), too_long()) == ["c", None]
    assert names(fallbacks_of(fallbacks=["b"]), too_long()) == [None]


def test_the_client_reads_what_each_fallback_said():
    fallbacks = fallbacks_of(fallbacks=["b", "c"])
    names(fallbacks, no_endpoint(), UpstreamFailed("b is down"), UpstreamFailed("c is down"))
    assert fallbacks.error.message.endswith(" Fallback 'b': b is down Fallback 'c': c is down")


@pytest.mark.parametrize(
    ("first_s", "later_s", "told_s"),
    [(9.0, 4.0, 4.0), (4.0, 9.0, 4.0), (None, 4.0, 4.0), (4.0, None, 4.0)],
)
def test_the_client_is_told_to_come_back_when_the_first_of_the_groups_may_serve_it(
    first_s, later_s, told_s
):
    fallbacks = fallbacks_of(fallbacks=["b"])
    names(fallbacks, no_endpoint(retry_after_s=first_s), no_endpoint("b", retry_after_s=later_s))
    assert fallbacks.error.retry_after_s == told_s

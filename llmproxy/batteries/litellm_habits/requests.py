"""A request of a client of LiteLLM's, in our words: its headers, its path, and members of its body.

What LiteLLM does not send to a vendor either is taken out, because vendors refuse members that they
do not know. What it asks for is asked for by our own headers, where there is something of the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.parameters import Edit, read_members
from llmproxy.calls import Headers, Request
from llmproxy.errors import ClientError
from llmproxy.providers.base import BARE_KEYS

KEY = b"x-litellm-api-key"
PREFIX = b"x-litellm-"
CREDENTIALS = BARE_KEYS | {b"authorization"}
ENGINES, DEPLOYMENTS = b"/engines/", b"/openai/deployments/"
TIMEOUT, TAGS, USER = b"x-llmproxy-timeout-s", b"x-llmproxy-tags", b"x-llmproxy-user"
END_USERS = (b"x-litellm-end-user-id", b"x-litellm-customer-id")

# Members that LiteLLM's proxy takes out of a body before it asks a vendor.
TAKEN_OUT = frozenset(
    (
        *("tags", "litellm_metadata", "litellm_session_id", "litellm_trace_id", "litellm_call_id"),
        *("timeout", "request_timeout", "stream_timeout", "num_retries", "max_retries"),
        *("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
        *("context_window_fallback_dict", "disable_fallbacks", "cooldown_time"),
        *("cache", "caching", "ttl", "no-log", "mock_response", "guardrails", "policies"),
        *("drop_params", "additional_drop_params", "allowed_openai_params"),
        *("enable_json_schema_validation", "custom_llm_provider", "base_model", "model_info"),
        *("api_key", "api_base", "api_version", "region_name", "priority", "extra_headers"),
        *("specific_deployment", "prompt_id", "prompt_variables"),
    )
)
# Ends of paths where `metadata` is LiteLLM's. At others (messages, batches) it is the vendor's.
WHERE_METADATA_IS_LITELLMS = (b"/chat/completions", b"/completions", b"/embeddings")


def in_our_words(request: Request, *, keyed: bool) -> Request:
    """Return a request as a client of ours would send it. Never raises.

    `keyed`: no client is served without a key.
    """
    path, body = request.path, request.body
    if path.startswith(ENGINES):
        path = DEPLOYMENTS + path.removeprefix(ENGINES)
    headers = our_headers(request.headers, keyed=keyed)
    if request.method == "POST" and isinstance(body, bytes):
        own_metadata = path.endswith(WHERE_METADATA_IS_LITELLMS)
        body, asked = without_members(body, own_metadata=own_metadata)
        if asked:
            headers = headers + list(headers_for(asked, dict(headers)))
    if path is request.path and body is request.body and headers is request.headers:
        return request
    return replace(request, path=path, headers=headers, body=body)


def our_headers(headers: Headers, *, keyed: bool) -> Headers:
    """Return a request's headers with ours in the place of LiteLLM's.

    If the proxy needs no key, a credential beside LiteLLM's is the one for the vendor.
    """
    if not any(name.startswith(PREFIX) for name, _ in headers):
        return headers
    named = dict(headers)
    for_us = keyed or CREDENTIALS.isdisjoint(named)
    credited = with_bearer(headers) if for_us else headers
    ours = [header for header in credited if not header[0].startswith(PREFIX)]
    if b"x-litellm-call-id" in named and b"x-request-id" not in named:
        ours.append((b"x-request-id", named[b"x-litellm-call-id"]))
    if TIMEOUT not in named and (value := _seconds(named.get(b"x-litellm-timeout"))):
        ours.append((TIMEOUT, value))
    if b"x-litellm-tags" in named:
        tags = (named.get(TAGS), named[b"x-litellm-tags"])
        ours = _with_header(ours, TAGS, b",".join(filter(None, tags)))
    user = next((named[name] for name in END_USERS if name in named), b"")
    if user and USER not in named:
        ours.append((USER, user))
    return ours


def with_bearer(headers: Headers) -> Headers:
    """Return headers with LiteLLM's own key header as the only credential, if it is there."""
    key = dict(headers).get(KEY)
    if key is None:
        return headers
    scheme, _, rest = key.partition(b" ")
    credential = rest.strip() if scheme.lower() == b"bearer" else key.strip()
    others = [header for header in headers if header[0] not in (KEY, *CREDENTIALS)]
    return [*others, (b"authorization", b"Bearer " + credential)]


def without_members(body: bytes, *, own_metadata: bool) -> tuple[bytes, dict[str, Any]]:
    """Return a JSON body without LiteLLM's members, and what these say.

    A body that is no JSON object, or whose members cannot be told apart, stays as it is.
    """
    try:
        found = read_members(body)
    except ClientError:  # the intake says so, if it matters
        return body, {}
    if found is None:
        return body, {}
    values = {member.name: member.value(body) for member in found.members}
    names = TAKEN_OUT & values.keys()
    if own_metadata and "metadata" in values and values.get("store") != b"true":
        names |= {"metadata"}
    if not names:
        return body, {}
    said = {name: _decoded(values[name]) for name in names}
    if "user" in values:
        said["user"] = _decoded(values["user"])
    return Edit(drop=frozenset(names))(body)[0], said


def headers_for(said: Mapping[str, Any], named: Mapping[bytes, bytes]) -> Headers:
    """Return our headers for what members of a body ask. `named`: those that are there already;
    they precede what a body asks, and tags add up."""
    added: Headers = []
    timeout = said.get("timeout", said.get("request_timeout"))
    if TIMEOUT not in named and (seconds := _seconds(str(timeout).encode())):
        added.append((TIMEOUT, seconds))
    tags = ",".join(_tags(said)).encode("latin-1", "replace")
    if tags:  # of a header given twice, the last one counts
        added.append((TAGS, b",".join(filter(None, (named.get(TAGS), tags)))))
    user = next((name for name in _users(said) if name), "")
    if user and USER not in named and not said.get("user"):
        added.append((USER, user.encode("latin-1", "replace")))
    if b"cache-control" not in named and (directives := _cache_control(said.get("cache"))):
        added.append((b"cache-control", directives))
    return added


def _tags(said: Mapping[str, Any]) -> Iterator[str]:
    for tags in (said.get("tags"), *(part.get("tags") for part in _metadata(said))):
        if isinstance(tags, list):
            yield from (tag for tag in tags if isinstance(tag, str) and tag.isprintable())


def _users(said: Mapping[str, Any]) -> Iterator[str]:
    for part in _metadata(said):
        for name in ("user_id", "user"):
            value = part.get(name)
            if isinstance(value, str) and value.isprintable():
                yield value


def _metadata(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("metadata", "litellm_metadata"):
        if isinstance(part := said.get(name), dict):
            yield part


def _cache_control(asked: Any) -> bytes:
    """Return the directives for LiteLLM's `cache: {"no-cache": true, "s-maxage": 60}`."""
    if not isinstance(asked, dict):
        return b""
    directives = [name for name in ("no-cache", "no-store") if asked.get(name) is True]
    age = asked.get("s-maxage", asked.get("s-max-age"))
    if isinstance(age, int) and not isinstance(age, bool) and age >= 0:
        directives.append(f"max-age={age}")
    return ", ".join(directives).encode()


def _seconds(value: bytes | None) -> bytes:
    """Return a timeout that we understand; b"" for any other."""
    try:
        seconds = float(value or b"0")
    except ValueError:
        return b""
    return b"%g" % seconds if 0 < seconds < inf else b""


def _with_header(headers: Headers, name: bytes, value: bytes) -> Headers:
    return [*(header for header in headers if header[0] != name), (name, value)]


def _decoded(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

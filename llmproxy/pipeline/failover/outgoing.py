"""The request for one endpoint: model, credential, URL, and the parameters that its entry names."""

from __future__ import annotations

from time import monotonic

from llmproxy.calls import Call, Header, Headers, Outgoing
from llmproxy.operations import Replay
from llmproxy.protocols import Upload
from llmproxy.providers.base import BARE_KEYS, Endpoint
from llmproxy.record import CallRecord
from llmproxy.rules.body import with_model
from llmproxy.rules.headers import onward, upstream_headers
from llmproxy.steps import Changed

UNSAFE = Replay.UNSAFE  # compared for every call; the attribute of an enum is slow
KEY_HEADERS = BARE_KEYS | {b"authorization"}


def outgoing_request(
    call: Call, endpoint: Endpoint, credential: tuple[Header, ...], record: CallRecord
) -> Outgoing:
    """Translate a call for an endpoint, for the record's current attempt. Does no I/O."""
    if endpoint.model_pattern is not None and call.model is not None:
        endpoint = endpoint.named(call.model, record.group or "")
    brought = endpoint.takes_key_of(call)
    headers = upstream_headers(call.headers, keep_credential=brought)
    if brought:
        withheld = withholds_key(call, endpoint, record)
        credential = () if withheld else _brought(headers, endpoint, record)
        headers = [header for header in headers if header[0] not in KEY_HEADERS]
    if call.stream:
        # A compressed stream could neither be checked for early errors nor end with an error event.
        headers = [header for header in headers if header[0] != b"accept-encoding"]
    if record.request.trace is not None:
        headers = onward(headers, record.request.trace, record.attempts)
    provider, route = endpoint.provider, call.route
    return Outgoing(
        call.method.encode("ascii"),
        provider.target(endpoint, route, call.query),
        provider.head(endpoint, route, headers, credential),
        _body_for(call, endpoint, record),
        fresh=call.replay is UNSAFE,
    )


def withholds_key(call: Call, endpoint: Endpoint, record: CallRecord) -> bool:
    """Return whether an endpoint is asked without the client's own key, because another has it.

    It goes to one origin only, the first that is asked (docs/decisions/041).
    """
    return record.key_origin not in (None, endpoint.origin) and endpoint.takes_key_of(call)


def _brought(headers: Headers, endpoint: Endpoint, record: CallRecord) -> tuple[Header, ...]:
    credential = endpoint.provider.brought_credential(headers)
    if credential:
        record.key_origin = endpoint.origin
    return credential


def _body_for(call: Call, endpoint: Endpoint, record: CallRecord) -> bytes | Upload:
    body, edit = call.body, endpoint.edit
    # Azure's paths name the model and override the body; only the classic style reads them.
    model = endpoint.model or (None if endpoint.deployment else call.route.model)
    written = call.model_in_body
    # Calls about what an account keeps have no model, unless they name one.
    if model is not None and model != written and (written or not call.route.bound_to_account):
        if not isinstance(body, bytes):
            return body.renamed(model)
        body = with_model(body, model) if body else body
    if edit is None or not isinstance(body, bytes) or call.route.operation.answer is None:
        return body
    body, changes = edit(body)
    if changes:
        record.steps.append(Changed(endpoint.name, monotonic(), changes))
    return body

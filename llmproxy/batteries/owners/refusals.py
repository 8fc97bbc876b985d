"""The errors for ids that cannot be served, and what an endpoint's refusal means."""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.batteries.owners.accounts import Owner
from llmproxy.errors import (
    ClientError,
    GatewayError,
    NoEndpoint,
    RequestRejected,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers.error_responses import readable_body

# The answers of a vendor that does not keep such things at all, or not this one (404).
HAS_NO_SUCH_LIST = frozenset((404, 405, 501))


def unknown_id(id: str) -> ClientError:
    """Return the error for an id that no account is known to keep, or that is another caller's."""
    return ClientError(
        f"This proxy does not know '{id}', so it cannot tell which account keeps it. Create it "
        "through this proxy, or read it once (GET): then each account is asked.",
        status=404,
        code="unknown_id",
    )


def two_accounts(owners: Mapping[str, Owner]) -> ClientError:
    """Return the error for ids of two accounts in one call."""
    (one, first), (other, second) = list(owners.items())[:2]
    return ClientError(
        f"'{one}' is kept by the account of the endpoint '{first.endpoint}' (group "
        f"'{first.group}'), and '{other}' by that of '{second.endpoint}' (group '{second.group}'). "
        "One call can use the ids of one account only: create both in one group with "
        "`x-llmproxy-group`, or copy one of them.",
        code="ids_of_two_accounts",
    )


def other_group(id: str, owner: Owner, group: str) -> ClientError:
    """Return the error for an id of an account that the called group does not have."""
    return ClientError(
        f"'{id}' is kept by the account of the endpoint '{owner.endpoint}' (group "
        f"'{owner.group}'), and the model group '{group}' has no endpoint of that account. Use "
        f"the model '{owner.group}', or create it again for '{group}'.",
        code="id_of_another_account",
    )


def owner_gone(id: str, owner: Owner) -> ClientError:
    """Return the error for an id whose account is in the config no more."""
    return ClientError(
        f"'{id}' is kept by the account of the endpoint '{owner.endpoint}' (group "
        f"'{owner.group}'), which this proxy has no longer. Ask its operator to put it back.",
        status=409,
        code="owner_gone",
    )


def list_incomplete(endpoint: str, failure: GatewayError) -> UpstreamError:
    """Return the error for a list that lacks the part of one account."""
    error = UpstreamFailed(
        "This list holds what several accounts keep, and the account of the endpoint "
        f"'{endpoint}' could not be asked: {failure.message} It is not answered without that part.",
        endpoint=endpoint,
    )
    error.status = 503 if isinstance(failure, NoEndpoint) else 502
    error.code = "list_incomplete"
    return error


def status_of(failure: GatewayError) -> int:
    """Return the status with which an endpoint refused a call; if several did, one they share."""
    if isinstance(failure, NoEndpoint):
        statuses = {attempt.status for attempt in failure.failures if attempt.answer}
        if len(statuses) == 1 and len(failure.failures) and not failure.skipped:
            return statuses.pop()
        return failure.status
    return failure.status if isinstance(failure, UpstreamError) and failure.answer else 0


def refuses_reasoning(failure: GatewayError) -> bool:
    """Whether an endpoint cannot read the reasoning in a call, because another account made it."""
    if not isinstance(failure, RequestRejected) or failure.answer is None:
        return False
    body = readable_body(failure.answer)
    if body.find(b"invalid_encrypted_content") >= 0:  # OpenAI
        return True
    # Anthropic says that a signature in a thinking block is invalid.
    return b"nvalid" in body and b"signature" in body and b"thinking" in body

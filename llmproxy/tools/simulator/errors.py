"""The vendors' errors: their codes, and their bodies in each API flavour.

Bodies follow recorded traffic (docs/project/upstreams.md); where Azure's two flavours are not
certain, the shape is the most frequent one.
"""

from __future__ import annotations

import msgspec

from llmproxy.tools.simulator.exchange import ApiFlavour, Json, Reply, json_reply

_INVALID = "invalid_request_error"
_QUOTA = "insufficient_quota"
_PLAN = "You exceeded your current quota, please check your plan and billing details."
_SPEND = "The spend limit has been reached. Raise it in the billing settings to go on."
_SORRY = "The server had an error while processing your request. Sorry about that!"
_FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management "
    "policy. Please modify your prompt and retry."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within "
    "the last 5 minutes, please wait a moment and try again."
)

# code -> (status, error.type, message, error.param)
CODES: dict[str, tuple[int, str, str, str | None]] = {
    "rate_limit_exceeded": (429, "requests", "Rate limit reached. Please try again later.", None),
    "slow_down": (429, "requests", "Your traffic grew too fast. Please slow down.", None),
    "insufficient_quota": (429, _QUOTA, _PLAN, None),
    "credit_balance_exhausted": (429, _QUOTA, "Your credit balance is exhausted.", None),
    "organization_spend_limit_exceeded": (429, _QUOTA, _SPEND, None),
    "project_spend_limit_exceeded": (429, _QUOTA, _SPEND, None),
    "organization_usage_limit_exceeded": (429, _QUOTA, _SPEND, None),
    "invalid_api_key": (401, _INVALID, "Incorrect API key provided: sk-****.", None),
    "unsupported_country_region_territory": (403, _INVALID, "Country not supported.", None),
    "model_not_found": (404, _INVALID, "The model does not exist.", "model"),
    "DeploymentNotFound": (404, _INVALID, _NO_DEPLOYMENT, None),
    "context_length_exceeded": (
        400,
        _INVALID,
        "This model's maximum context length is 8192 tokens. Please reduce the length.",
        "messages",
    ),
    "content_filter": (400, _INVALID, _FILTERED, "prompt"),
    "request_too_large": (413, _INVALID, "The request is too large.", None),
    "server_is_overloaded": (
        503,
        "server_error",
        "The server is currently overloaded with other requests. Please retry later.",
        None,
    ),
    "overloaded_error": (529, "overloaded_error", "Overloaded", None),
}

_STATUSES: dict[int, tuple[str, str]] = {
    400: (_INVALID, "Your request was malformed."),
    401: (_INVALID, "You didn't provide an API key."),
    403: ("permission_error", "You are not allowed to use this."),
    404: (_INVALID, "Not found."),
    408: ("request_timeout", "The request timed out."),
    409: (_INVALID, "The request conflicts with another one."),
    413: (_INVALID, "The request is too large."),
    422: (_INVALID, "The request could not be processed."),
    429: ("requests", "Rate limit reached. Please try again later."),
    503: ("server_error", "The engine is currently overloaded, please try again later."),
    529: ("overloaded_error", "Overloaded"),
}

# Gateways in front of a vendor answer these, and not in JSON.
_PAGES = {502: b"502 Bad Gateway", 504: b"504 Gateway Time-out"}


class VendorError(Exception):
    """An error that the vendor answers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str = _INVALID,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind
        self.param = param


def known_error(status: int, code: str | None, message: str | None = None) -> VendorError:
    """Return the error with the vendor's usual text for a status and code."""
    if code in CODES:
        _, kind, text, param = CODES[code]
    else:
        kind, text = _STATUSES.get(status, ("server_error", _SORRY))
        param = None
    return VendorError(status, message or text, code=code, kind=kind, param=param)


def error_reply(error: VendorError, flavour: ApiFlavour) -> Reply:
    """Return the error as a vendor words it."""
    if error.status == 529:
        body: Json = {"type": "overloaded_error", "message": error.message}
        return json_reply({"type": "error", "error": body}, status=529)
    if error.code is None and error.status in _PAGES:
        title = _PAGES[error.status]
        page = b"<html>\r\n<head><title>%b</title></head>\r\n<body>%b</body>\r\n</html>\r\n"
        return Reply(error.status, [(b"content-type", b"text/html")], page % (title, title))
    return json_reply({"error": error_object(error, flavour)}, status=error.status)


def error_object(error: VendorError, flavour: ApiFlavour = ApiFlavour.OPENAI) -> Json:
    """Return the value of the key `error`."""
    if flavour is not ApiFlavour.OPENAI:
        terse = _azure_error(error, flavour)
        if terse is not None:
            return terse
    value: Json = {
        "message": error.message,
        "type": error.kind,
        "param": error.param,
        "code": error.code,
    }
    if error.code == "content_filter":
        value["type"] = None
        value["status"] = error.status
        value["innererror"] = {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": content_filter(filtered="violence"),
        }
    return value


def _azure_error(error: VendorError, flavour: ApiFlavour) -> Json | None:
    """Return the short form of Azure's gateway errors; None for errors in OpenAI's form."""
    if error.code == "rate_limit_exceeded":
        if flavour is ApiFlavour.AZURE_V1:
            code = "too_many_requests"
            return {"code": code, "message": error.message, "type": code, "param": None}
        return {"code": "429", "message": error.message}
    if error.code in ("invalid_api_key", "DeploymentNotFound", "model_not_found"):
        code = "401" if error.status == 401 else "DeploymentNotFound"
        text = _NO_DEPLOYMENT if code == "DeploymentNotFound" else error.message
        return {"code": code, "message": text}
    if error.code is None and error.status in (401, 403, 404, 408, 429, 500, 503):
        return {"code": str(error.status), "message": error.message}
    return None


def content_filter(filtered: str | None = None) -> Json:
    """Return Azure's result for a text; `filtered` is the category that is filtered, if any."""
    return {
        category: {
            "filtered": category == filtered,
            "severity": "medium" if category == filtered else "safe",
        }
        for category in ("hate", "self_harm", "sexual", "violence")
    }


def decode_error(error: msgspec.DecodeError) -> VendorError:
    """Return the error for a body that cannot be parsed."""
    if isinstance(error, msgspec.ValidationError):
        text, _, where = str(error).partition(" - at ")
        param = where.strip("`$.").partition("[")[0] or None
        if "missing required field" in text:
            param = text.rpartition("field ")[2].strip("`")
            text = f"Missing required parameter: '{param}'."
            return VendorError(400, text, code="missing_required_parameter", param=param)
        return VendorError(400, f"Invalid value: {text}.", code="invalid_type", param=param)
    return VendorError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The OpenAI API expects a JSON payload.)",
    )

"""Vendors whose API is OpenAI's: their addresses, and their errors and limits as they answer."""

import json

import pytest

from llmproxy.config import Config
from llmproxy.errors import (
    Answer,
    CredentialRejected,
    Misconfigured,
    OperationRefused,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TooLarge,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers import endpoints_of
from llmproxy.providers.registry import BY_NAME

NOW = 1_795_000_000.0  # Unix time


def endpoint(**entry):
    config = {"model_groups": [{"model_group": "g", "models": [entry]}]}
    return endpoints_of(Config.model_validate(config))["g"][0]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://models.github.ai/inference", "github"),
        ("https://models.github.ai/orgs/acme/inference", "github"),
        ("https://router.huggingface.co/v1", "huggingface"),
        ("https://integrate.api.nvidia.com/v1", "nvidia"),
        ("https://api.sambanova.ai/v1", "sambanova"),
        ("https://api.moonshot.ai/v1", "moonshot"),
        ("https://api.moonshot.cn/v1", "moonshot"),
        ("https://api.z.ai/api/paas/v4/", "zai"),
        ("https://api.z.ai/api/coding/paas/v4", "zai"),
        ("https://open.bigmodel.cn/api/paas/v4", "zai"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "alibaba"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "alibaba"),
        ("https://ws-1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1", "alibaba"),
        ("https://api.cloudflare.com/client/v4/accounts/a1/ai/v1", "cloudflare"),
        ("https://gateway.ai.cloudflare.com/v1/a1/g/compat", "cloudflare"),
    ],
)
def test_the_address_says_which_vendor_is_meant(url, name):
    found = endpoint(params={"base_url": url, "api_key": "k"})
    assert found.provider.name == name
    assert found.credential == ((b"authorization", b"Bearer k"),)


def test_an_account_in_the_address_has_no_default():
    assert BY_NAME["cloudflare"].base_url is None


def failure_of(vendor: str, status: int, body: object, **headers: str) -> UpstreamError:
    lines = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    answer = Answer(status, lines, json.dumps(body).encode())
    failure = BY_NAME[vendor].failure(answer, endpoint="e", wall_now=NOW)
    assert failure is not None
    return failure


def openai(message, code=None, kind=None):
    return {"error": {"message": message, "type": kind or code, "param": None, "code": code}}


def anthropic(kind, message):
    return {"type": "error", "error": {"type": kind, "message": message}}


def cloudflare(code, message):
    errors = [{"message": f"AiError: {message} (0f3c)", "code": code}]
    return {"errors": errors, "success": False, "result": {}, "messages": []}


SUSPENDED = "Your account org-1 is suspended due to insufficient balance, please recharge it"
BALANCE = "Insufficient balance or no resource package. Please recharge."
STANDING = "Access denied, please make sure your account is in good standing."
FILTERED = "Input data may contain inappropriate content."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
NO_FUNCTION = "Function '23d4f03a': Not found for account 'Qawmu2'"
FULL = "ResourceExhausted: Worker local total request limit reached (33/32)"
NEURONS = "you have used up your daily free allocation of 10,000 neurons"
CREDITS = "You have exceeded your monthly included credits for Inference Providers."
UNSERVED = "The requested model 'a/b' is not supported by any provider you have enabled."


@pytest.mark.parametrize(
    ("vendor", "status", "body", "kind"),
    [
        (
            *("github", 413),
            openai("Request body too large for gpt-4o model. Max size: 8000 tokens.", "x"),
            TooLarge,
        ),
        ("huggingface", 402, {"error": CREDITS}, QuotaExhausted),
        ("huggingface", 401, {"error": "Invalid username or password."}, CredentialRejected),
        ("huggingface", 400, openai(UNSERVED, "model_not_supported"), Misconfigured),
        ("nvidia", 429, {"status": 429, "title": "Too Many Requests"}, Throttled),
        (
            *("nvidia", 404),
            {"status": 404, "title": "Not Found", "detail": NO_FUNCTION},
            Misconfigured,
        ),
        ("nvidia", 503, {"error": {"message": FULL, "code": 503}}, Overloaded),
        ("sambanova", 429, openai("Rate limit exceeded", "rate_limit_exceeded"), Throttled),
        (
            *("sambanova", 400),
            openai("Decimal above maximum value.", "decimal_above_max_value"),
            RequestRejected,
        ),
        ("moonshot", 429, openai(SUSPENDED, kind="exceeded_current_quota_error"), QuotaExhausted),
        ("moonshot", 429, openai("The engine is busy", kind="engine_overloaded_error"), Throttled),
        ("moonshot", 401, openai("Invalid Authentication", kind="x_error"), CredentialRejected),
        (
            *("moonshot", 404),
            openai("Not found the model k or Permission denied", kind="resource_not_found_error"),
            Misconfigured,
        ),
        ("zai", 429, openai("High concurrency usage of this API", "1302"), Throttled),
        ("zai", 429, openai(BALANCE, "1113"), QuotaExhausted),
        ("zai", 400, openai("Model does not exist, please check the code", "1211"), Misconfigured),
        ("zai", 401, openai("Authentication Failed", "1000"), CredentialRejected),
        ("alibaba", 429, openai(QUOTA, "insufficient_quota"), Throttled),
        ("alibaba", 400, openai(STANDING, "Arrearage"), QuotaExhausted),
        ("alibaba", 401, openai("Incorrect API key provided.", "x"), CredentialRejected),
        ("cloudflare", 400, cloudflare(5007, "No such model @cf/x or task"), Misconfigured),
        ("cloudflare", 429, cloudflare(3040, "No more data centers to forward to"), Throttled),
        ("cloudflare", 429, cloudflare(4006, NEURONS), Throttled),
        ("cloudflare", 408, cloudflare(3007, "Request timeout"), UpstreamFailed),
    ],
)
def test_an_error_means_what_its_vendor_says(vendor, status, body, kind):
    failure = failure_of(vendor, status, body)
    assert type(failure) is kind


def google(status, message):
    return [{"error": {"code": 429, "status": status, "message": message}}]


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "Too many tokens, please wait before trying again.", Throttled),
        (400, "The model `m` isn't supported on this route", Misconfigured),
        (400, "Invocation of model ID m with on-demand throughput isn't supported.", Misconfigured),
        (404, "Could not resolve the model from the provided model identifier.", Misconfigured),
        (403, "You don't have access to the model with the specified model ID.", OperationRefused),
        (403, "The security token included in the request is expired", CredentialRejected),
        (403, "The request signature we calculated does not match", CredentialRejected),
        (503, "Bedrock is unable to process your request.", Overloaded),
    ],
)
def test_bedrock_means_the_same_by_each_of_its_apis(status, words, kind):
    for body in ({"message": words}, openai(words, kind="x_error"), anthropic("x_error", words)):
        assert type(failure_of("bedrock", status, body)) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, google("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again."), Throttled),
        (429, google("RESOURCE_EXHAUSTED", "Quota exceeded for base model: x."), Throttled),
        (404, google("NOT_FOUND", "Publisher Model `p` was not found or you lack"), Misconfigured),
        (401, google("UNAUTHENTICATED", "Request had invalid credentials."), CredentialRejected),
        (403, google("PERMISSION_DENIED", "Permission denied on project p."), CredentialRejected),
        (529, anthropic("overloaded_error", "Overloaded"), Overloaded),
    ],
)
def test_vertex_answers_as_gemini_and_as_anthropic_do(status, body, kind):
    assert type(failure_of("vertex", status, body)) is kind


def test_openai_still_means_an_empty_account_by_the_code_that_alibaba_uses_for_rates():
    assert type(failure_of("openai", 429, openai(QUOTA, "insufficient_quota"))) is QuotaExhausted


def test_the_words_of_cloudflares_errors_are_shown():
    message = failure_of("cloudflare", 400, cloudflare(5007, "No such model @cf/x or task")).message
    assert "No such model @cf/x" in message


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("alibaba", openai(FILTERED, "data_inspection_failed")),
        ("alibaba", openai(FILTERED, "DataInspectionFailed")),
        ("zai", openai("System detected potentially unsafe or sensitive content", "1301")),
        ("moonshot", openai("The request was considered high risk", kind="content_filter")),
    ],
)
def test_a_filter_of_content_is_recognised(vendor, body):
    assert failure_of(vendor, 400, body).code == "content_filter"


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        ("moonshot", "Input token length too long"),
        ("moonshot", "Your request exceeded model token limit : 262144"),
        ("zai", "Prompt exceeds max length"),
        ("alibaba", "Range of input length should be [1, 30720]"),
    ],
)
def test_a_prompt_that_is_too_long_is_recognised(vendor, words):
    assert failure_of(vendor, 400, openai(words)).code == "context_length_exceeded"


def test_github_says_in_words_how_long_to_wait():
    limit = "Rate limit of 10 per 60s exceeded for UserByModelByMinute."
    body = openai(f"{limit} Please wait 46 seconds before retrying.", "RateLimitReached")
    assert failure_of("github", 429, body).retry_after_s == 46.0
    assert failure_of("github", 429, body, retry_after="24367").retry_after_s == 24_367.0


@pytest.mark.parametrize("reset", ["30", str(int(NOW) + 30)])  # which of the two is not documented
def test_sambanovas_limits_of_a_minute_are_read_beside_those_of_a_day(reset):
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-limit-requests-day": "12000",
        "x-ratelimit-remaining-requests-day": "11000",
        "x-ratelimit-reset-requests-day": str(int(NOW) + 50_000),
    }
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    limits = BY_NAME["sambanova"].rate_limits(lines, wall_now=NOW)
    assert limits is not None
    assert limits.requests is not None
    assert (limits.requests.limit, limits.requests.remaining) == (60.0, 1.0)
    assert limits.requests.reset_s == pytest.approx(30.0)

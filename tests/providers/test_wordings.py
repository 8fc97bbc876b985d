"""What vendors say in words, quoted as they answer: each means one kind of failure."""

import json

import pytest

from llmproxy.errors import (
    Answer,
    CredentialRejected,
    Misconfigured,
    OperationRefused,
    RequestRejected,
    TooLarge,
)
from llmproxy.providers.registry import BY_NAME

GENERIC = BY_NAME["generic"]


def openai(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def understood(status, body):
    as_bytes = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = GENERIC.failure(Answer(status, [], as_bytes), endpoint="e", wall_now=0.0)
    assert failure is not None
    return failure


TOO_LONG = {
    "OpenAI": (400, openai("Your input exceeds the context window of this model.")),
    "OpenAI by code": (400, openai("x", "context_length_exceeded")),
    "Anthropic": (400, openai("prompt is too long: 215000 tokens > 200000 maximum")),
    "Anthropic's sum": (
        400,
        openai("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    ),
    "vLLM": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 32768 tokens. However, you "
            "requested 33077 tokens (1077 in the messages, 32000 in the completion).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "vLLM's engine": (
        400,
        openai("The decoder prompt (length 9001) is longer than the maximum model length of 8192."),
    ),
    "SGLang": (
        400,
        openai("The input (9001 tokens) is longer than the model's context length (8192 tokens)."),
    ),
    "SGLang's sum": (
        400,
        openai("Input length (9001 tokens) exceeds the maximum allowed length (8186 tokens)."),
    ),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "type": "exceed_context_size_error",
                "message": "request (124315 tokens) exceeds the available context size "
                "(123904 tokens), try increasing it",
            }
        },
    ),
    "older llama.cpp": (
        500,
        openai("the request exceeds the available context size. try increasing the context size"),
    ),
    "Copilot": (
        400,
        openai(
            "prompt token count of 125516 exceeds the limit of 64000",
            "model_max_prompt_tokens_exceeded",
        ),
    ),
    "xAI": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains "
            "136973 tokens.",
        },
    ),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "The input token count (1200000) exceeds the maximum number of "
                    "tokens allowed (1048576).",
                }
            }
        ],
    ),
    "Groq": (400, openai("Please reduce the length of the messages or completion.")),
    "Mistral": (
        400,
        openai(
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 "
            "maximum context length"
        ),
    ),
    "Bedrock": (400, openai("Input is too long for requested model.")),
    "Ollama": (400, {"error": "prompt too long; exceeded max context length by 4 tokens"}),
    "TGI": (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"}),
    "TGI's inputs": (422, {"error": "`inputs` must have less than 4095 tokens. Given: 5000"}),
    "LM Studio": (
        400,
        {"error": "The number of tokens to keep is greater than the context length."},
    ),
    "older LM Studio": (
        400,
        {
            "error": "Trying to keep the first 10136 tokens when context the overflows. However, "
            "the model is loaded with context length of only 7866 tokens, which is not enough."
        },
    ),
    "Vertex": (
        400,
        openai(
            "Unable to submit request because the input token count is 1251952 but model only "
            "supports up to 1048576. Reduce the input token count and try again."
        ),
    ),
    "newer vLLM": (
        400,
        openai(
            "You passed 9001 input tokens and requested 0 output tokens. However, the model's "
            "context length is only 8192 tokens, resulting in a maximum input length of 8192."
        ),
    ),
    "Moonshot": (
        400,
        openai(
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)"
        ),
    ),
    "DashScope": (
        400,
        openai(
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
            "invalid_parameter_error",
        ),
    ),
    "Zhipu": (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
    "SiliconFlow": (
        400,
        {
            "code": 20015,
            "message": "length of prompt_tokens (57535) must be less than max_seq_len (32768).",
            "data": None,
        },
    ),
    "TabbyAPI": (400, {"detail": "Request length 71599 + 2048 is greater than max_seq_len 65536"}),
    "TensorRT-LLM": (400, openai("Prompt length (1251) exceeds maximum input length (1024).")),
}


@pytest.mark.parametrize("vendor", TOO_LONG)
def test_a_prompt_that_is_too_long_is_recognised_in_the_words_of(vendor):
    failure = understood(*TOO_LONG[vendor])
    assert type(failure) is RequestRejected
    assert failure.code == "context_length_exceeded"


UNKNOWN_MODEL = {
    "OpenAI": (404, openai("The model `x` does not exist or you do not have access to it.")),
    "OpenAI as 400": (400, openai("no", "model_not_found")),
    "Azure": (
        404,
        openai("The API deployment for this resource does not exist.", "DeploymentNotFound"),
    ),
    "Azure's foundry": (400, openai("Unknown model: x", "unknown_model")),
    "OpenRouter": (400, {"error": {"message": "a/b is not a valid model ID", "code": 400}}),
    "OpenRouter without providers": (
        404,
        {"error": {"message": "No endpoints found for a/b.", "code": 404}},
    ),
    "Gemini": (
        404,
        [{"error": {"code": 404, "message": "models/x is not found for API version v1main"}}],
    ),
    "DeepSeek": (400, openai("Model Not Exist")),
    "Mistral": (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model"}),
    "Groq": (400, openai("The model `x` has been decommissioned", "model_decommissioned")),
    "Together": (400, openai("Unable to access model x.", "model_not_available")),
    "Copilot": (400, openai("The requested model is not supported.", "model_not_supported")),
    "Perplexity": (400, openai("Invalid model 'x'. Permitted models can be found in the docs")),
    "Bedrock": (400, openai("The provided model identifier is invalid.")),
    "Fireworks": (404, openai("Model not found, inaccessible, and/or not deployed")),
    "vLLM": (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}),
    "Ollama": (404, {"error": "model 'x' not found, try pulling it first"}),
    "Anthropic": (
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}},
    ),
    "xAI": (
        400,
        {"code": "x", "error": "The model grok-x does not exist or your team lacks access to it"},
    ),
}


@pytest.mark.parametrize("vendor", UNKNOWN_MODEL)
def test_an_unknown_model_is_recognised_in_the_words_of(vendor):
    assert type(understood(*UNKNOWN_MODEL[vendor])) is Misconfigured


WRONG_KEY = {
    "OpenAI": (401, openai("Incorrect API key provided: sk-***.", "invalid_api_key")),
    "Gemini": (
        400,
        [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}],
    ),
    "Gemini without the key": (
        400,
        [{"error": {"code": 400, "message": "API Key not found. Please pass a valid API key."}}],
    ),
    "Gemini's old key": (400, openai("API key expired. Please renew the API key.")),
    "xAI": (
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: x"},
    ),
    "xAI without a code": (400, {"error": "Incorrect API key provided: xa***. See the console."}),
    "Azure": (401, openai("Access denied due to invalid subscription key", "401")),
    "Anthropic": (401, openai("invalid x-api-key", kind="authentication_error")),
    "llama.cpp": (401, openai("Invalid API Key", kind="authentication_error")),
    "nobody's words": (401, b""),
    "an unknown code": (403, openai("Access forbidden", "account_disabled")),
}


@pytest.mark.parametrize("vendor", WRONG_KEY)
def test_a_wrong_key_is_recognised_in_the_words_of(vendor):
    assert type(understood(*WRONG_KEY[vendor])) is CredentialRejected


OPERATION = {
    "a missing scope": (
        401,
        openai(
            "You have insufficient permissions for this operation. Missing scopes: "
            "api.responses.write. Check that you have the correct role.",
            "missing_scope",
        ),
    ),
    "a missing scope as 403": (403, openai("no", "missing_scope")),
    "permissions in words": (
        401,
        openai("You have insufficient permissions for this operation."),
    ),
    "no access to the model": (
        403,
        openai("Project `p` does not have access to model `gpt-5`", "model_not_found"),
    ),
    "an unverified organization": (
        400,
        openai("Your organization must be verified to stream this model.", "unsupported_value"),
    ),
    "an unverified organization as 403": (
        403,
        openai("Your organization must be verified to use the model `gpt-5`."),
    ),
    "embeddings of a chat model": (
        403,
        openai("You are not allowed to generate embeddings from this model"),
    ),
    "completions of a chat model": (
        404,
        openai("This is not a chat model and thus not supported in the v1/chat/completions."),
    ),
    "Azure's operation": (
        400,
        openai("The embeddings operation does not work with the model.", "OperationNotSupported"),
    ),
    "Azure's path": (404, {"error": {"code": "404", "message": "Resource not found"}}),
    "OpenAI's path": (404, openai("Invalid URL (POST /v1/chat/completion)")),
    "FastAPI's path": (404, {"detail": "Not Found"}),
    "Ollama's path": (404, b"404 page not found"),
    "llama.cpp's path": (
        404,
        {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}},
    ),
    "Anthropic's permission": (
        403,
        {"type": "error", "error": {"type": "permission_error", "message": "Not for this key."}},
    ),
    "a firewall's page": (403, b"<!DOCTYPE html><html>Request blocked</html>"),
}


@pytest.mark.parametrize("what", OPERATION)
def test_a_refusal_of_the_operation_says_nothing_about_the_key(what):
    assert type(understood(*OPERATION[what])) is OperationRefused


TPM = "on tokens per min (TPM): Limit 30000, Requested 60000. The input must be reduced."


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, f"Request too large for gpt-4.1 in organization org-x {TPM}"),
        (413, f"Request too large for model `m` in organization `o` {TPM}"),
        (400, f"Request too large for gpt-4.1 {TPM}"),
    ],
)
def test_a_request_above_the_whole_limit_is_told_from_a_rate(status, words):
    failure = understood(status, openai(words, "rate_limit_exceeded", "tokens"))
    assert type(failure) is TooLarge
    assert failure.limit_tokens == 30_000


def test_what_no_table_knows_is_marked():
    assert understood(400, openai("Who knows?")).unrecognised
    assert not understood(400, openai("x", "content_filter")).unrecognised
    assert not understood(400, openai("prompt is too long")).unrecognised


def test_a_clients_words_in_an_error_are_not_taken_for_the_vendors():
    quoted = "Invalid value for 'name': 'the data model for cats does not exist here'"
    assert type(understood(400, openai(quoted))) is RequestRejected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("The response was filtered.", "content_filter")),
        (400, openai("Your request was rejected.", "content_policy_violation")),
        (
            400,
            {
                "error": {
                    "code": "x",
                    "message": "no",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
        ),
        (
            403,
            {
                "error": {
                    "message": "a/b requires moderation on p. Your input was flagged for x",
                    "code": 403,
                }
            },
        ),
    ],
    ids=["OpenAI", "OpenAI's images", "Azure", "OpenRouter"],
)
def test_a_content_filter_is_recognised(status, body):
    failure = understood(status, body)
    assert type(failure) is RequestRejected
    assert failure.code == "content_filter"

"""An endpoint of Anthropic is addressed, and its answers are read, as its own API has it."""

import json

import pytest

from tests.support.client import CHAT, ask, connect, request
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, always, chunk, http, scripted, sse_head

MESSAGE = {"model": "gpt-4.1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}'
MESSAGES = "/v1/messages"


def at(vendor, **params):
    entry = {"provider": "anthropic", "params": {"base_url": vendor.base_url, **params}}
    entry["speaks"] = ["messages", "chat"]
    return config_for(entry)


async def asked(params, path=MESSAGES, body=MESSAGE, headers=()):
    """Return the request that an endpoint of Anthropic got for a call."""
    async with scripted(always(http(ANSWER))) as vendor:
        async with serve_proxy(at(vendor, **params)) as proxy:
            await ask(proxy.port, path, body, headers=list(headers))
    return vendor.received[0]


def credentials(received):
    return {
        name: value
        for name in ("authorization", "x-api-key", "api-key")
        if (value := received.header(name)) is not None
    }


@pytest.mark.parametrize("path", [MESSAGES, "/v1/messages/count_tokens"])
@bounded()
async def test_its_own_paths_get_the_key_and_a_version(path):
    got = await asked({"api_key": "sk-ant-ours"}, path)
    assert credentials(got) == {"x-api-key": "sk-ant-ours"}
    assert got.header("anthropic-version") == "2023-06-01"


@bounded()
async def test_a_clients_version_and_betas_pass():
    chosen = [("anthropic-version", "2027-01-01"), ("anthropic-beta", "a-1,b-2")]
    got = await asked({"api_key": "sk-ant-ours"}, headers=chosen)
    names = [name for name, _ in got.headers]
    assert names.count("anthropic-version") == 1
    assert got.header("anthropic-version") == "2027-01-01"
    assert got.header("anthropic-beta") == "a-1,b-2"


@bounded()
async def test_a_version_of_the_config_replaces_the_clients_and_the_default():
    params = {"api_key": "sk-ant-ours", "default_headers": {"anthropic-version": "2026-01-01"}}
    for headers in ([], [("anthropic-version", "2027-01-01")]):
        got = await asked(params, headers=headers)
        versions = [value for name, value in got.headers if name == "anthropic-version"]
        assert versions == ["2026-01-01"]


@bounded()
async def test_the_path_of_openais_clients_gets_a_bearer_key():
    got = await asked({"api_key": "sk-ant-ours"}, "/v1/chat/completions", CHAT)
    assert credentials(got) == {"authorization": "Bearer sk-ant-ours"}
    assert got.header("anthropic-version") is None


@pytest.mark.parametrize(
    "params",
    [
        {"api_key": "sk-ant-oat01-token"},
        {"default_headers": {"Authorization": "Bearer sk-ant-oat01-token"}},
    ],
)
@bounded()
async def test_a_token_or_a_config_that_says_so_is_sent_as_bearer(params):
    got = await asked(params)
    assert credentials(got) == {"authorization": "Bearer sk-ant-oat01-token"}


@pytest.mark.parametrize(
    ("name", "value"), [("x-api-key", "sk-ant-own"), ("authorization", "Bearer sk-ant-own")]
)
@bounded()
async def test_a_clients_own_key_keeps_its_header(name, value):
    got = await asked({}, headers=[(name, value)])
    assert credentials(got) == {name: value}


@pytest.mark.parametrize("status", [200, 400])
@bounded()
async def test_the_id_of_the_endpoint_passes_and_is_noted(status):
    own = always(http(ANSWER, status=status, headers=[("request-id", "req_of_anthropic")]))
    async with scripted(own) as vendor, serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
        reply = await ask(proxy.port, MESSAGES, MESSAGE)
        assert reply.all("request-id") == ["req_of_anthropic"]
        assert reply.header("x-request-id") == proxy.events.calls[0].record.request.id
        assert proxy.events.calls[0].record.answer.request_id == b"req_of_anthropic"


@bounded()
async def test_an_answer_without_an_id_gets_ours():
    async with scripted(always(http(ANSWER))) as vendor:
        async with serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
            assert reply.header("request-id") == proxy.events.calls[0].record.request.id


@bounded()
async def test_the_root_answers_a_client_that_looks_whether_it_is_there():
    async with scripted(always(http(ANSWER))) as vendor, serve_proxy(at(vendor)) as proxy:
        connection = await connect(proxy.port)
        for _ in range(2):  # no body follows the first
            await connection.send(request("/", method="HEAD"))
            assert (await connection.reply(head_only=True)).status == 200


def numbered(received, number):
    """Answer with the number of the call."""
    usage = {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 1}
    content = [{"type": "text", "text": f"answer {number}"}]
    answer = {"id": "msg", "type": "message", "role": "assistant", "model": "claude"}
    ending = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    return [http({**answer, "content": content, **ending})]


FIXED = {**MESSAGE, "temperature": 0}


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Be brief."},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    ],
)
@bounded()
async def test_an_equal_message_is_served_from_the_cache_whole_and_streamed(other):
    async with scripted(numbered) as vendor:
        config = at(vendor, api_key="sk-ant-ours")
        config["general_settings"]["cache"] = True
        async with serve_proxy(config) as proxy:
            first = await ask(proxy.port, MESSAGES, FIXED)
            again = await ask(proxy.port, MESSAGES, {**FIXED, "metadata": {"user_id": "u"}})
            streamed = await ask(proxy.port, MESSAGES, {**FIXED, "stream": True})
            differs = await ask(proxy.port, MESSAGES, {**FIXED, **other})
            random = await ask(proxy.port, MESSAGES, MESSAGE)
    assert again.body == first.body
    assert again.header("x-llmproxy-cache") == streamed.header("x-llmproxy-cache") == "hit"
    assert again.header("request-id") not in (None, first.header("request-id"))
    assert streamed.body.startswith(b"event: message_start\n")
    assert first.json["content"][0]["text"].encode() in streamed.body
    assert differs.header("x-llmproxy-cache") == "miss"
    assert random.header("x-llmproxy-cache") == "bypass"
    assert len(vendor.received) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": [{"type": "url", "url": "https://mcp.test", "name": "m"}]},
    ],
)
@bounded()
async def test_what_anthropic_runs_itself_is_not_cached(other):
    async with scripted(numbered) as vendor:
        config = at(vendor, api_key="sk-ant-ours")
        config["general_settings"]["cache"] = True
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**FIXED, **other})
    assert reply.header("x-llmproxy-cache") == "bypass"


def event(kind, **fields):
    data = json.dumps({"type": kind, **fields})
    return chunk(f"event: {kind}\ndata: {data}\n\n".encode())


@pytest.mark.parametrize("deltas", [1, 400])
@bounded()
async def test_a_streams_usage_is_that_of_its_beginning_and_its_end(deltas):
    usage = {"input_tokens": 4, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 6}
    begun = {"type": "message", "content": [], "usage": {**usage, "output_tokens": 1}}
    text = {"type": "text_delta", "text": "x" * 100}
    events = [
        event("message_start", message=begun),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(event("content_block_delta", index=0, delta=text) for _ in range(deltas)),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 12}),
        event("message_stop"),
    ]
    answer = sse_head() + b"".join(events) + LAST_CHUNK
    async with scripted(always(answer)) as vendor:
        async with serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
            await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": True})
            counted = proxy.events.calls[0].record.answer.usage
    assert (counted.input_tokens, counted.output_tokens, counted.cached_tokens) == (15, 12, 5)


# ---- batches and files

BATCH = b'{"requests": [ {"custom_id":"a","params":{"model":"gpt-4.1","max_tokens":5}}]}'
BATCH_ANSWER = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}
BATCHES = f"{MESSAGES}/batches"
BETA = ("anthropic-beta", "files-api-2025-04-14")


@bounded()
async def test_a_batch_is_made_once_with_the_key_the_version_and_the_clients_betas():
    async with scripted(always(http(BATCH_ANSWER))) as vendor:
        async with serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
            reply = await ask(proxy.port, f"{BATCHES}?beta=true", BATCH, headers=[BETA])
    (got,) = vendor.received
    assert got.line == "POST /v1/messages/batches?beta=true HTTP/1.1"
    assert (got.body, reply.json) == (BATCH, BATCH_ANSWER)
    assert credentials(got) == {"x-api-key": "sk-ant-ours"}
    assert got.header("anthropic-version") == "2023-06-01"
    assert got.header("anthropic-beta") == BETA[1]


@bounded()
async def test_a_batch_that_may_have_been_made_is_not_made_again():
    async with scripted(always(http({}, status=500))) as broken:
        async with scripted(always(http(BATCH_ANSWER))) as spare:
            config = at(broken, api_key="sk-ant-ours")
            config["model_groups"][0]["models"].append(
                {
                    "name": "spare",
                    **at(spare, api_key="k")["model_groups"][0]["models"][0],
                    "tier": 1,
                }
            )
            async with serve_proxy(config) as proxy:
                reply = await ask(proxy.port, BATCHES, BATCH)
    assert reply.status == 500
    assert (len(broken.received), len(spare.received)) == (1, 0)


@bounded()
async def test_the_results_of_a_batch_pass_line_by_line():
    lines = b'{"custom_id":"a","result":{"type":"succeeded"}}\n{"custom_id":"b","result":{}}\n'
    results = always(http(lines, content_type="application/x-jsonl"))
    async with scripted(results) as vendor:
        async with serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
            connection = await connect(proxy.port)
            await connection.send(request(f"{BATCHES}/msgbatch_1/results", method="GET"))
            reply = await connection.reply()
    assert reply.body == lines
    assert vendor.received[0].header("x-api-key") == "sk-ant-ours"


@bounded()
async def test_a_file_is_uploaded_with_the_clients_beta():
    form = (
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"content-type: text/plain\r\n\r\nhello\r\n--b--\r\n"
    )
    headers = [("content-type", "multipart/form-data; boundary=b"), BETA]
    async with scripted(always(http({"id": "file_1", "type": "file"}))) as vendor:
        async with serve_proxy(at(vendor, api_key="sk-ant-ours")) as proxy:
            reply = await ask(proxy.port, "/v1/files", form, headers=headers)
    assert reply.json["id"] == "file_1"
    (got,) = vendor.received
    assert got.body == form
    assert credentials(got) == {"x-api-key": "sk-ant-ours"}
    assert got.header("anthropic-version") == "2023-06-01"
    assert got.header("anthropic-beta") == BETA[1]

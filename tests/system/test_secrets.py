"""Our keys, clients' keys, prompts and answers are never logged or returned."""

import pytest

from tests.support.client import CHAT, STREAM, ask, connect, request
from tests.support.process import running
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    chat,
    chunk,
    delta,
    error_body,
    http,
    scripted,
    sse_head,
)
from tests.system.vendors import group_of

SECRETS = ["sk-client-secret", "sk-upstream", "PROMPT-TEXT", "ANSWER-TEXT", "QUERY-TEXT"]
CLIENTS_HEADERS = [("authorization", "Bearer sk-client-secret"), ("api-key", "sk-client-secret")]
PATH = "/v1/chat/completions?user=QUERY-TEXT"


def with_prompt(body):
    return {**body, "messages": [{"role": "user", "content": "PROMPT-TEXT"}]}


def answer(received, _number):
    if b'"stream": true' in received.body:
        yield sse_head() + chunk(delta("ANSWER-TEXT"))
        yield 0.1
        yield chunk(DONE) + LAST_CHUNK
    else:
        yield http(chat("ANSWER-TEXT"))


def refuse(received, _number):
    """Refuse as a vendor that quotes the key."""
    message = "Incorrect API key provided: sk-upstream."
    return [http(error_body("invalid_api_key", message=message), status=401)]


@bounded()
async def test_keys_prompts_and_answers_are_never_logged(tmp_path):
    async with scripted(refuse) as bad, scripted(answer) as fine, scripted(refuse) as lone:
        groups = [
            group_of([bad, fine], weights=(2, 1)),
            group_of([lone], group="refused", weights=[1]),
        ]
        async with running(tmp_path, config={"model_groups": groups}) as proxy:
            for body in (CHAT, STREAM, {**CHAT, "model": "refused"}):
                await ask(proxy.port, PATH, with_prompt(body), headers=CLIENTS_HEADERS)
            await ask(proxy.port, PATH, b'{"model": "PROMPT-TEXT', headers=CLIENTS_HEADERS)
            leaver = await connect(proxy.port)
            await leaver.send(request(PATH, with_prompt(STREAM), headers=CLIENTS_HEADERS))
            await leaver.head()
            leaver.leave()
            lines = await proxy.logged(5)
            written = proxy.stdout + proxy.stderr

    assert [line["status"] for line in lines] == [200, 200, 401, 400, 499]
    reported = written.count("(misconfigured)"), written.count("looks misconfigured")
    assert reported == (1, 1), "the refused keys are reported; the only endpoint is not set aside"
    for secret in SECRETS:
        assert secret not in written


@pytest.mark.parametrize("endpoints", [1, 2])
@bounded()
async def test_our_key_is_removed_from_an_error_that_quotes_it(tmp_path, endpoints):
    async with scripted(refuse) as vendor:
        group = group_of([vendor] * endpoints, weights=(2, 1)[:endpoints])
        async with running(tmp_path, config={"model_groups": [group]}) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.status in (401, 503)
    assert "Incorrect API key provided" in reply.error["message"]
    assert b"sk-upstream" not in reply.body

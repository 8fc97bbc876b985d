"""No caller gets the answer of another: many callers, few questions, random order."""

import asyncio
import json
import random
from collections import Counter

from tests.support.cached import with_cache
from tests.support.client import connect, question, request
from tests.support.examples import THOROUGH
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DONE, LAST_CHUNK, chat, chunk, delta, http, scripted, sse_head

CALLS = 10_000 if THOROUGH else 2_400
CALLERS = [f"caller-{number}" for number in range(7)]
CONNECTIONS = 40
QUESTIONS = 10


def names_caller(received, number):
    """The key ignores `user`, so only the scope keeps the answers of callers apart."""
    call = json.loads(received.body)
    text = f"{call['user']} asked {call['messages'][0]['content']}"
    if not call.get("stream"):
        return [0.001, http(chat(text))]
    events = [delta(role="assistant"), delta(text), delta(finish="stop"), DONE]
    return [0.001, sse_head() + b"".join(map(chunk, events)) + LAST_CHUNK]


@bounded(120)
async def test_random_calls_never_cross_from_caller_to_caller():
    draw = random.Random(11)
    words = Counter()

    async def client(calls):
        connection = await connect(proxy.port)
        for _ in range(calls):
            caller, text = draw.choice(CALLERS), f"question {draw.randrange(QUESTIONS)}."
            body = question(text, user=caller, temperature=0, stream=draw.random() < 0.4)
            key = [("authorization", f"Bearer sk-key-of-{caller}")]
            await connection.send(request(body=body, headers=key))
            reply = await connection.reply()
            assert reply.status == 200
            assert f"{caller} asked {text}".encode() in reply.body
            words[reply.header("x-llmproxy-cache")] += 1
        connection.leave()

    async with scripted(names_caller) as vendor:
        callers = [{"name": caller, "key": f"sk-key-of-{caller}"} for caller in CALLERS]
        # So little that answers are evicted all the time.
        config = with_cache(vendor, callers=callers, ttl=0.05)
        async with serve_proxy(config) as proxy:
            share = CALLS // CONNECTIONS
            await asyncio.gather(*(client(share) for _ in range(CONNECTIONS)))
    assert sum(words.values()) == CALLS
    assert words["hit"] > CALLS / 10
    assert words["miss"] > CALLS / 50
    assert words["coalesced"] > 0

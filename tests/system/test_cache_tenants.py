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
MEMORY = 2**20  # the least that a config can name
# All answers are three times as much as that, so they are evicted all the time. A short `ttl` would
# do so, too, but on a slow machine so soon that hardly one was hit.
DIFFERENT = len(CALLERS) * QUESTIONS * 2  # each also as a stream
PADDING = " " * (3 * MEMORY // DIFFERENT)


def names_caller(received, number):
    """The key ignores `user`, so only the scope keeps the answers of callers apart."""
    call = json.loads(received.body)
    text = f"{call['user']} asked {call['messages'][0]['content']}{PADDING}"
    if not call.get("stream"):
        return [0.001, http(chat(text))]
    events = [delta(role="assistant"), delta(text), delta(finish="stop"), DONE]
    return [0.001, sse_head() + b"".join(map(chunk, events)) + LAST_CHUNK]


@bounded(300)
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
        config = with_cache(vendor, callers=callers, max_bytes=MEMORY)
        async with serve_proxy(config) as proxy:
            share = CALLS // CONNECTIONS
            await asyncio.gather(*(client(share) for _ in range(CONNECTIONS)))
    assert sum(words.values()) == CALLS
    assert set(words) == {"hit", "miss", "coalesced"}
    assert words["miss"] > DIFFERENT  # so some were evicted

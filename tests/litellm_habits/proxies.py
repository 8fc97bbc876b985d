"""Proxies with LiteLLM's habits, in front of a vendor that always answers."""

from contextlib import asynccontextmanager

from tests.support.callers import KEY_A
from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.vendor import DONE, LAST_CHUNK, chat, chunk, delta, http, scripted, sse_head

ADMIN_KEY = "sk-master-1234"
USED = chat("good", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
CALLERS = [{"name": "alice", "key": KEY_A, "team": "search", "groups": ["gpt"]}]
MESSAGES = [{"role": "user", "content": "hi"}]


def answer(received, _number):
    if b'"stream"' in received.body:
        # LiteLLM's SDK refuses a stream without a finish_reason.
        return [sse_head(), *map(chunk, [delta("x"), delta(finish="stop"), DONE]), LAST_CHUNK]
    return [http(USED)]


@asynccontextmanager
async def habitual(*, answer=answer, groups=("gpt", "other"), **settings):
    """A vendor and a proxy; `settings` of the config, where None leaves a usual one out."""
    usual = {"litellm_habits": True, "admin_key": ADMIN_KEY, "callers": CALLERS}
    settings = {name: value for name, value in {**usual, **settings}.items() if value is not None}
    async with scripted(answer) as vendor:
        entry = {
            "name": "east",
            "model": "gpt-4.1-mini",
            "params": {"base_url": vendor.base_url, "api_key": "sk-upstream-secret"},
            "price": {"input": 0.4, "output": 1.6},
            "limits": {"rpm": 600, "tpm": 90_000},
        }
        config = config_for(entry, **settings)
        (group,) = config["model_groups"]
        config["model_groups"] = [{**group, "model_group": name} for name in groups]
        async with serve_proxy(config) as proxy:
            yield vendor, proxy


def bearer(key):
    return [("authorization", f"Bearer {key}")]


async def get(proxy, path, key=None):
    headers = [] if key is None else bearer(key)
    return await ask(proxy.port, path, method="GET", headers=headers)


async def post(proxy, path, body, key=ADMIN_KEY):
    return await ask(proxy.port, path, body, headers=bearer(key))


async def call(proxy, *, path="/v1/chat/completions", key=KEY_A, headers=(), **members):
    """Send a chat call, with more headers and members."""
    body = {"model": "gpt", "messages": MESSAGES, **members}
    credential = [] if key is None else bearer(key)
    return await ask(proxy.port, path, body, headers=[*credential, *headers])

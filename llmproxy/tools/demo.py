"""`llmproxy demo`: the proxy in front of simulated endpoints. No keys, no cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

import llmproxy
from llmproxy.batteries.addresses import UNIX
from llmproxy.batteries.config_file import parse_config
from llmproxy.process import address_of, run_to_the_end, say
from llmproxy.serving import Batteries, serve_on
from llmproxy.sockets import base_of, sockets_for
from llmproxy.tools.simulator.demo import Fleet, demo_fleet

DEMO_ANNOUNCEMENT = """\
LLMProxy {version} on {base}: the DEMO.
{reason}Its endpoints are simulated: the answers are made up and cost nothing.

Try it: one endpoint fails, another one answers. The header x-llmproxy-explain says so.

curl -i {base}/v1/chat/completions -H 'content-type: application/json' \\
  -H 'x-llmproxy-explain: 1' \\
  -d '{{"model": "gpt-4.1", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Or from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{base}/v1", api_key="any")
messages = [{{"role": "user", "content": "Hello!"}}]
for chunk in client.chat.completions.create(model="gpt-4.1", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)

Watch it at work: {base}/dashboard
What it would cost: llmproxy spend --by model --url {base}
For real endpoints: `llmproxy init` writes a config, `llmproxy serve` starts it. Stop: Ctrl+C
"""
UNIX_ANNOUNCEMENT = """\
LLMProxy {version} on {base}: the DEMO.
{reason}Its endpoints are simulated: the answers are made up and cost nothing.

Try it: one endpoint fails, another one answers. The header x-llmproxy-explain says so.

curl -i --unix-socket {path} http://localhost/v1/chat/completions \\
  -H 'content-type: application/json' -H 'x-llmproxy-explain: 1' \\
  -d '{{"model": "gpt-4.1", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Watch it at work: llmproxy top --url {base}    Stop: Ctrl+C
"""
NOTHING_FOUND = "No llmproxy.yaml and no API keys in the environment were found.\n"


def announcement_of(base: str, reason: str) -> str:
    """Return what is printed at the start. `reason`: why this is the demo."""
    text = UNIX_ANNOUNCEMENT if base.startswith(UNIX) else DEMO_ANNOUNCEMENT
    path = base.removeprefix(UNIX)
    return text.format(version=llmproxy.__version__, base=base, path=path, reason=reason)


@asynccontextmanager
async def _fleet() -> AsyncIterator[Fleet]:
    """Run the demo's vendors. What calls cost, and keys, are kept until the demo ends."""
    with TemporaryDirectory(prefix="llmproxy-demo-", ignore_cleanup_errors=True) as folder:
        async with demo_fleet(database_url=f"{folder}/llmproxy.sqlite") as fleet:
            yield fleet


def serve_demo(
    host: str | None,
    port: int | None,
    environ: Mapping[str, str],
    batteries: Batteries,
    *,
    asked_for: bool,
) -> int:
    """Serve simulated endpoints until a signal ends it; return the exit status.

    `asked_for`: by `llmproxy demo`; False = because no config was found.
    """

    async def run() -> None:
        async with _fleet() as fleet:
            config = parse_config(fleet.config_yaml, environ, file="the demo")
            mode = int(config.general_settings.unix_socket_mode, 8)
            with sockets_for(*address_of(config, host, port), environ, mode=mode) as sockets:
                base = base_of(sockets, scheme="http")
                text = announcement_of(base, "" if asked_for else NOTHING_FOUND)
                await serve_on(sockets, config, environ, batteries, on_started=lambda: say(text))

    return run_to_the_end(run)

"""A steady load by the OpenAI SDK, without retries of its own.

    python bench/sdk_load.py BASE_URL CALLS_PER_S

An open loop; every third call is a stream. One line on stdout for each call: when it was due (Unix
time), its milliseconds from then on, the vendor's id, the instance that served it (`x-served-by`),
and what went wrong ("-": nothing; "broken": the answer ended early). SIGTERM ends it, after the
calls that are under way.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import httpx
import openai
import uvloop

STREAM_EVERY = 3
TIMEOUT_S = 30.0
MESSAGES = [{"role": "user", "content": "Say something."}]


class Load:
    """The plan: which calls are due, and which are under way."""

    def __init__(self, base_url: str) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        http = httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S)
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key="any", max_retries=0, http_client=http
        )
        self._ended = asyncio.Event()

    async def run(self, calls_per_s: float) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ended.set)
        due = time.time()
        async with asyncio.TaskGroup() as calls:
            number = 0
            while not self._ended.is_set():
                number += 1
                due += 1 / calls_per_s
                await asyncio.sleep(max(0.0, due - time.time()))
                calls.create_task(self._call(due, is_stream=number % STREAM_EVERY == 0))

    async def _call(self, due: float, *, is_stream: bool) -> None:
        id, served_by, wrong = "-", "-", "-"
        try:
            async with self._client.chat.completions.with_streaming_response.create(
                model="chat", messages=MESSAGES, stream=is_stream
            ) as response:
                id = response.headers.get("x-request-id", "-")
                served_by = response.headers.get("x-served-by", "-")
                body = await response.read()
            if is_stream and not body.rstrip().endswith(b"data: [DONE]"):
                wrong = "broken"
        except openai.APIStatusError as error:
            served_by = error.response.headers.get("x-served-by", "-")
            wrong = f"{error.status_code} {error.message}"
        except (openai.APIConnectionError, httpx.HTTPError) as error:
            begun = "broken" if id != "-" else "refused"
            wrong = f"{begun} {error.__cause__ or error}"
        took_ms = (time.time() - due) * 1000
        fields = f"{due:.6f} {took_ms:.3f} {id} {served_by} {' '.join(wrong.split())}"
        print(fields, flush=True)


async def main(base_url: str, calls_per_s: float) -> None:
    await Load(base_url).run(calls_per_s)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2])))

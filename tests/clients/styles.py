"""The sync and the async OpenAI clients behind one face, so that each test is written once.

`ask` is always a function without arguments that returns what the client returns; coroutines are
awaited here, in one event loop for all clients of a style.
"""

import asyncio
import inspect

import openai

from tests.clients.comparing import as_data, failed, masked, stream_as_data

WITHOUT_RETRIES = {"max_retries": 0, "timeout": 10}


class Sync:
    """The sync clients. Owns them; `close` closes them."""

    openai_class = openai.OpenAI
    azure_class = openai.AzureOpenAI

    def __init__(self):
        self._clients = {}

    def openai(self, base_url, **options):
        """A client of `base_url`; the same one when asked again."""
        options = {"api_key": "sk-client", "base_url": base_url} | WITHOUT_RETRIES | options
        return self._client(self.openai_class, options)

    def azure(self, root, **options):
        """A client that speaks Azure's classic style to `root`."""
        usual = {"api_key": "azure-client", "azure_endpoint": root, "api_version": "2024-10-21"}
        return self._client(self.azure_class, usual | WITHOUT_RETRIES | options)

    def _client(self, kind, options):
        key = (kind, repr(options))
        if key not in self._clients:
            self._clients[key] = kind(**options)
        return self._clients[key]

    def call(self, ask):
        """What the client returns, or raises."""
        return ask()

    def end(self, ask):
        """What a call ends in, as plain values: an answer, events, or events and an exception."""
        events = []
        try:
            answer = ask()
            if isinstance(answer, openai.Stream):
                for event in answer:
                    events.append(event)
                return masked(stream_as_data(answer, events))
            return masked(as_data(answer))
        except openai.OpenAIError as error:
            return masked({"events": events, "error": failed(error)})

    def listed(self, ask):
        """All items of all pages."""
        return list(ask())

    def helped(self, ask):
        """The events and the final object of a `.stream()` helper."""
        with ask() as stream:
            events = list(stream)
            return masked([events, _final(stream)()])

    def streamed_bytes(self, ask):
        """Status and bytes of a `with_streaming_response` call."""
        with ask() as response:
            return response.status_code, b"".join(response.iter_bytes())

    def close(self):
        """Close every client."""
        for client in self._clients.values():
            client.close()


class Async(Sync):
    """The async clients."""

    openai_class = openai.AsyncOpenAI
    azure_class = openai.AsyncAzureOpenAI

    def __init__(self):
        super().__init__()
        self._runner = asyncio.Runner()

    def call(self, ask):
        return self._runner.run(_awaited(ask))

    def end(self, ask):
        return self._runner.run(self._end(ask))

    async def _end(self, ask):
        events = []
        try:
            answer = await _awaited(ask)
            if isinstance(answer, openai.AsyncStream):
                async for event in answer:
                    events.append(event)
                return masked(stream_as_data(answer, events))
            return masked(as_data(answer))
        except openai.OpenAIError as error:
            return masked({"events": events, "error": failed(error)})

    def listed(self, ask):
        async def listed():
            return [chunk async for chunk in ask()]

        return self._runner.run(listed())

    def helped(self, ask):
        async def helped():
            async with ask() as stream:
                events = [event async for event in stream]
                return masked([events, await _final(stream)()])

        return self._runner.run(helped())

    def streamed_bytes(self, ask):
        async def streamed():
            async with ask() as response:
                pieces = [piece async for piece in response.iter_bytes()]
                return response.status_code, b"".join(pieces)

        return self._runner.run(streamed())

    def close(self):
        async def close_all():
            for client in self._clients.values():
                await client.close()

        self._runner.run(close_all())
        self._runner.close()


async def _awaited(ask):
    answer = ask()
    return await answer if inspect.isawaitable(answer) else answer


def _final(stream):
    if hasattr(stream, "get_final_completion"):
        return stream.get_final_completion
    return stream.get_final_response

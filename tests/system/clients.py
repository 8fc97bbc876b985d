"""Raw clients for load; they check every byte of every answer."""

import asyncio
from collections import Counter

from tests.support.client import connect, request
from tests.system.vendors import expected_answer, request_for

CLIENTS = 50
CALL_WITHIN_S = 20


class Load:
    """A number of calls by 50 clients with kept connections; every other call is a stream."""

    def __init__(self, port, calls, *, group="gpt-4.1", clients=CLIENTS, mark="call"):
        self.finished = 0
        self.streamed = 0
        self.failures = []
        self.served_by = Counter()
        self._port = port
        self._calls = calls
        self._group = group
        self._clients = clients
        self._mark = mark
        self._numbers = iter(range(calls))

    async def run(self):
        """Make the calls; returns itself."""
        async with asyncio.TaskGroup() as clients:
            for _ in range(self._clients):
                clients.create_task(self._work())
        assert self.finished == self._calls
        return self

    async def reached(self, count):
        """Wait until `count` calls are over."""
        while self.finished < count:
            await asyncio.sleep(0.005)

    async def _work(self):
        connection = await connect(self._port)
        for number in self._numbers:
            mark, stream = f"{self._mark} {number}", number % 2 == 1
            try:
                async with asyncio.timeout(CALL_WITHIN_S):
                    await self._call(connection, mark, stream=stream)
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(f"{mark}: {error!r}")
                connection.leave()
                connection = await connect(self._port)
            self.finished += 1
            self.streamed += stream
        connection.leave()

    async def _call(self, connection, mark, *, stream):
        await connection.send(request(body=request_for(mark, group=self._group, stream=stream)))
        reply = await connection.reply()
        if reply.status != 200 or reply.body != expected_answer(mark, stream=stream):
            self.failures.append(f"{mark}: {reply}")
        self.served_by[reply.header("x-llmproxy-endpoint")] += 1

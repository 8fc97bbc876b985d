"""A connection between the proxy and a server that can go dead, or lead to another server."""

import asyncio
import contextlib
from contextlib import asynccontextmanager


class Line:
    """Carries connections to `port`. What goes to or comes from a port in `dead` is dropped;
    the rest is delayed by `delay_s` each way."""

    def __init__(self, port):
        self.port = port
        self.dead = set()
        self.delay_s = 0.0
        self.tasks = set()

    async def carry(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        port = self.port
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self.pour(reader, inner_writer, port), self.pour(inner_reader, writer, port)
            )

    async def pour(self, reader, writer, port):
        try:
            while chunk := await reader.read(2**16):
                await asyncio.sleep(self.delay_s)
                if port not in self.dead:
                    writer.write(chunk)
        except ConnectionError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def line_to(server):
    """Listen at `url`, and lead to a server."""
    line = Line(server.port)
    listening = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    line.url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    try:
        yield line
    finally:
        listening.close()
        for task in line.tasks:
            task.cancel()
        await asyncio.gather(*line.tasks, return_exceptions=True)

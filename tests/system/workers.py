"""A proxy with several workers, and streams through it that end on request."""

import asyncio
import json
import tempfile
from contextlib import asynccontextmanager

from tests.support.client import STREAM, ask, connect, request
from tests.support.family import children_of, listens, living, program_of
from tests.support.process import running
from tests.support.vendor import DONE, LAST_CHUNK, chunk, delta, sse_head
from tests.system.vendors import group_of


def config_for(vendor, *, rpm=None, entries=None, **settings):
    settings = {"drain_delay_s": 0, "drain_timeout_s": 5, "log_format": "json"} | settings
    if entries is None:
        group = group_of([vendor], weights=[1])
    else:
        group = {"model_group": "gpt-4.1", "models": entries}
    if rpm is not None:
        group["models"][0]["limits"] = {"rpm": rpm}
    return {"model_groups": [group], "general_settings": settings}


def serve(count):
    return "serve", "--port", "0", "--workers", str(count)


@asynccontextmanager
async def serving(folder, vendor, *, count=2, settings=None, rpm=None, entries=None, **options):
    """Run a proxy with `count` workers in front of a vendor, or of the endpoints in `entries`.

    Its temporary folder is its own, and `folder / "tmp"`.
    """
    # The path of a socket must be short, and a test's own folder is not.
    with tempfile.TemporaryDirectory(prefix="t-") as temporary:
        folder.mkdir(exist_ok=True)
        (folder / "tmp").symlink_to(temporary)
        config = config_for(vendor, rpm=rpm, entries=entries, **(settings or {}))
        environ = {"TMPDIR": temporary}
        arguments = serve(count)
        family = []
        async with running(folder, *arguments, config=config, environ=environ, **options) as proxy:
            try:
                yield proxy
            finally:
                family = children_of(proxy.pid)
        await all_ended(family)


def family_of(proxy):
    return [proxy.pid, *children_of(proxy.pid)]


def workers_of(proxy):
    return [pid for pid in children_of(proxy.pid) if program_of(pid) != "valkey-server"]


def server_of(proxy):
    (server,) = [pid for pid in children_of(proxy.pid) if program_of(pid) == "valkey-server"]
    return server


async def health_of(proxy):
    return (await ask(proxy.port, "/health", method="GET")).json


async def shared_by(proxy, count):
    """Wait until a worker reports that `count` instances share the view."""
    while True:
        shared = (await health_of(proxy))["shared"]
        if shared["connected"] and shared["instances"] == count:
            return
        await asyncio.sleep(0.05)


async def all_ended(pids):
    """Wait until all of these processes have ended."""
    while living(pids):
        await asyncio.sleep(0.02)


async def reaped(proxy, worker):
    """Wait until the supervisor has reaped a worker: no thread and no socket is left."""
    while f"(process {worker})" not in proxy.stderr:
        await asyncio.sleep(0.02)


async def none_listens(pids, port):
    """Wait until none of these processes accepts connections."""
    while any(listens(pid, port) for pid in living(pids)):
        await asyncio.sleep(0.02)


async def replaced(proxy):
    """Wait until a worker has taken the place of another one."""
    while "accepts calls again" not in proxy.stderr:
        await asyncio.sleep(0.02)


class Slow:
    """A vendor whose answers begin at once and end when `go_on` is set."""

    def __init__(self):
        self.go_on = asyncio.Event()

    def __call__(self, received, _number):
        mark = json.loads(received.body)["messages"][0]["content"]
        yield sse_head() + chunk(delta(mark))
        while not self.go_on.is_set():
            yield 0.02
        yield chunk(delta(f"{mark} end")) + chunk(DONE) + LAST_CHUNK


async def begin_streams(proxy, count):
    """Begin `count` streams; return them when their first event has arrived."""
    streams = [await connect(proxy.port) for _ in range(count)]
    for number, stream in enumerate(streams):
        messages = [{"role": "user", "content": str(number)}]
        await stream.send(request(body={**STREAM, "messages": messages}))
    for number, stream in enumerate(streams):
        assert (await stream.head())[0] == 200
        assert await stream.chunk() == delta(str(number))
    return streams


async def completed(streams):
    """Return which streams arrive complete; the connections of the others must have been cut."""
    return [await _is_completed(stream, number) for number, stream in enumerate(streams)]


async def _is_completed(stream, number):
    rest = b""
    try:
        while piece := await stream.chunk():
            rest += piece
    except (asyncio.IncompleteReadError, ConnectionResetError, ValueError):
        return False
    assert rest == delta(f"{number} end") + DONE
    return True

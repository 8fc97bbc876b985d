"""Trouble of this machine is answered at once with a code of ours, and no endpoint is blamed."""

import resource
from asyncio import gather
from pathlib import Path

import pytest

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.process import LLMPROXY, running
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted
from tests.support.waiting import until

GOOD = always(http(chat("hi")))


def upload(size, *, model_first=True):
    model = '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\ngpt-4.1\r\n'
    file = (
        '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + "x" * size
        + "\r\n"
    )
    parts = (model, file) if model_first else (file, model)
    return ("".join(parts) + "--b--\r\n").encode()


@pytest.mark.parametrize("model_first", [True, False])
@bounded()
async def test_no_room_in_the_temporary_folder(tmp_path, model_first):
    async with scripted(GOOD) as vendor:
        config = group_of(vendor, allowed_fails=1)
        program = ("bash", "-c", 'ulimit -f 1024; exec "$@"', "bash", LLMPROXY)
        async with running(tmp_path, config=config, program=program) as proxy:
            headers = [("content-type", "multipart/form-data; boundary=b")]
            reply = await ask(
                proxy.port,
                path="/v1/audio/transcriptions",
                body=upload(8_000_000, model_first=model_first),
                headers=headers,
            )
            assert (reply.status, reply.error["code"]) == (507, "proxy_no_space")
            assert "temporary folder" in proxy.stderr
            assert "Traceback" not in proxy.stderr
            assert (await ask(proxy.port, body=CHAT)).status == 200, "the endpoint is untouched"


def room_for_one(pid):
    """The limit of descriptors that leaves a process room for one more: the client's."""
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(4096) if number not in used) + 1


@bounded()
async def test_no_descriptors(tmp_path):
    async with scripted(GOOD) as vendor:
        config = group_of(vendor, allowed_fails=1)
        async with running(tmp_path, config=config) as proxy:
            old = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
            unused = room_for_one(proxy.pid)
            assert (await ask(proxy.port, method="GET", path="/livez")).status == 200
            await until(lambda: room_for_one(proxy.pid) == unused)  # its connection is closed
            resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (room_for_one(proxy.pid), old[1]))
            reply = await ask(proxy.port, body=CHAT)
            resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, old)
            assert (reply.status, reply.error["code"]) == (503, "proxy_out_of_resources")
            assert "No connection can be opened: too many open files" in proxy.stderr
            assert (await ask(proxy.port, body=CHAT)).status == 200, "no breaker is open"


@bounded()
async def test_a_start_raises_the_limit_of_open_files_and_one_endpoint_may_use_it(tmp_path):
    async with scripted(always(0.5, http(chat("hi")))) as vendor:
        limits = 'ulimit -Sn 100; ulimit -Hn 300; exec "$@"'
        program = ("bash", "-c", limits, "bash", LLMPROXY)
        config = group_of(vendor, timeouts={})
        async with running(tmp_path, config=config, program=program) as proxy:
            replies = await gather(*(ask(proxy.port, body=CHAT) for _ in range(100)))
            assert {reply.status for reply in replies} == {200}
            assert vendor.connections == 100

"""Several workers on one port: they share calls and state, and any of them may die."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from time import monotonic

import pytest

from tests.support.client import CHAT, ask, connect, request
from tests.support.family import children_of, connections_of, living
from tests.support.process import LLMPROXY, command
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import always, chat, http, scripted
from tests.system.workers import (
    Slow,
    all_ended,
    begin_streams,
    completed,
    config_for,
    family_of,
    health_of,
    none_listens,
    reaped,
    replaced,
    serve,
    server_of,
    serving,
    shared_by,
    workers_of,
)

STOPS = [signal.SIGTERM, signal.SIGINT]
SPREAD = 64  # connections; that one of two workers gets less than 12 is a chance of 1e-7


@bounded()
async def test_connections_are_spread_over_all_workers(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            workers = workers_of(proxy)
            connections = [await connect(proxy.port) for _ in range(SPREAD)]
            for connection in connections:
                await connection.send(request("/livez", method="GET"))
                assert (await connection.reply()).status == 200
            taken = [connections_of(pid, proxy.port) for pid in workers]
            assert (await ask(proxy.port, body=CHAT)).json == chat("hello")

    assert len(workers) == 2
    assert sum(taken) == SPREAD
    assert min(taken) >= 12
    assert proxy.stderr.count("configured by config.yaml, with 2 workers") == 1


@bounded()
async def test_workers_share_one_view_through_a_valkey_of_their_own(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serving(tmp_path, vendor, count=3) as proxy:
            await shared_by(proxy, 3)
            server = server_of(proxy)
            (folder,) = (tmp_path / "tmp").iterdir()
            assert folder.stat().st_mode & 0o777 == 0o700
            assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o600
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
            assert living([server]) == []
            assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.clock
@bounded()
async def test_a_limit_is_one_limit_however_many_workers_there_are(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        settings = {"queue": {"max_wait_s": 0.5}}
        async with serving(tmp_path, vendor, count=4, settings=settings, rpm=100) as proxy:
            await shared_by(proxy, 4)
            statuses, rounds, began = Counter(), 0, monotonic()
            # A worker that no connection comes to gives back what it has leased.
            while rounds < 8 or (len(vendor.received) < 90 and monotonic() < began + 50):
                rounds += 1
                replies = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(25)))
                statuses.update(reply.status for reply in replies)

    assert statuses.keys() == {200, 429}
    assert statuses[200] == len(vendor.received)
    assert 90 <= len(vendor.received) <= 102


@bounded()
async def test_with_a_configured_server_none_is_started(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor, valkey(tmp_path) as shared:
        settings = {"redis_url": shared.url}
        async with serving(tmp_path / "proxy", vendor, settings=settings) as proxy:
            await shared_by(proxy, 2)
            assert len(children_of(proxy.pid)) == 2
            assert list((tmp_path / "proxy/tmp").iterdir()) == []


@bounded()
async def test_a_dead_valkey_is_replaced_and_no_call_fails(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        settings = {"num_retries": 0}
        async with serving(tmp_path, vendor, settings=settings) as proxy:
            await shared_by(proxy, 2)
            first = server_of(proxy)
            os.kill(first, signal.SIGKILL)
            statuses = [(await ask(proxy.port, body=CHAT)).status for _ in range(50)]
            await shared_by(proxy, 2)
            while server_of(proxy) == first:
                await asyncio.sleep(0.02)

    assert statuses == [200] * 50
    assert "The embedded Valkey" in proxy.stderr
    assert "was killed by SIGKILL. It is replaced" in proxy.stderr


@bounded()
async def test_a_worker_that_is_killed_costs_only_its_own_calls_and_is_replaced(tmp_path):
    answer = Slow()
    async with scripted(answer) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            before = workers_of(proxy)
            streams = await begin_streams(proxy, 24)
            lost = connections_of(before[0], proxy.port)
            os.kill(before[0], signal.SIGKILL)
            await reaped(proxy, before[0])
            fresh = await begin_streams(proxy, 8)  # no connection is sent to a dead worker
            answer.go_on.set()
            of_old, of_new = await completed(streams), await completed(fresh)
            await replaced(proxy)
            after = workers_of(proxy)
            answer.go_on.clear()
            last = await begin_streams(proxy, 24)
            (another,) = set(after) - {before[1]}
            assert connections_of(another, proxy.port) > 0
            answer.go_on.set()
            assert await completed(last) == [True] * 24

    assert 0 < lost < 24
    assert of_old.count(False) == lost
    assert of_new == [True] * 8
    assert another != before[0]
    assert f"Worker 1 (process {before[0]}) was killed by SIGKILL" in proxy.stderr


@bounded()
async def test_while_one_worker_stops_the_others_serve(tmp_path):
    answer = Slow()
    async with scripted(answer) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            first, _ = workers_of(proxy)
            streams = await begin_streams(proxy, 16)
            os.kill(first, signal.SIGTERM)
            await none_listens([first], proxy.port)
            fresh = await begin_streams(proxy, 8)
            assert living([first]), "it has calls to complete"
            answer.go_on.set()
            assert await completed(streams) == [True] * 16
            assert await completed(fresh) == [True] * 8
            await replaced(proxy)


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
@bounded()
async def test_a_signal_lets_the_calls_of_all_workers_complete(tmp_path, number):
    answer = Slow()
    async with scripted(answer) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            family = family_of(proxy)
            streams = await begin_streams(proxy, 24)
            proxy.signal(number)
            await none_listens(family, proxy.port)
            with pytest.raises(ConnectionRefusedError):
                await connect(proxy.port)
            answer.go_on.set()
            whole = await completed(streams)
            assert await proxy.ended() == 0
            lines = proxy.calls
            assert living(family) == []

    assert whole == [True] * 24
    assert [line["status"] for line in lines] == [200] * 24, "the last lines must not be lost"
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_second_ctrl_c_does_not_wait_for_calls(tmp_path):
    async with scripted(always("hang")) as vendor:
        async with serving(tmp_path, vendor, settings={"drain_timeout_s": 60}) as proxy:
            calls = [asyncio.create_task(ask(proxy.port, body=CHAT)) for _ in range(8)]
            while len(vendor.received) < 8:
                await asyncio.sleep(0.01)
            proxy.signal(signal.SIGINT)
            await asyncio.sleep(0.4)
            assert proxy.process.returncode is None
            proxy.signal(signal.SIGINT)
            await proxy.ended()
            await asyncio.gather(*calls, return_exceptions=True)

    assert "Traceback" not in proxy.stderr


@bounded()
async def test_when_the_supervisor_is_killed_calls_complete_and_no_process_is_left(tmp_path):
    answer = Slow()
    async with scripted(answer) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            family = family_of(proxy)
            streams = await begin_streams(proxy, 16)
            proxy.signal(signal.SIGKILL)
            await proxy.ended()
            await none_listens(family, proxy.port)
            answer.go_on.set()
            whole = await completed(streams)
            await all_ended(family)
            assert list((tmp_path / "tmp").iterdir()) == []
            with pytest.raises(ConnectionRefusedError):
                await connect(proxy.port)

    assert whole == [True] * 16
    assert len(family) == 4


@bounded()
async def test_a_port_in_use_is_reported_and_the_workers_that_have_it_are_unaffected(tmp_path):
    async with scripted(always(http(chat("first")))) as vendor:
        async with serving(tmp_path, vendor) as first:
            port = ("--port", str(first.port))
            for workers in ("1", "2"):
                options = ("--config", "config.yaml", *port, "--workers", workers)
                second = await command("serve", *options, cwd=tmp_path)
                assert second.status == 1
                assert "address already in use" in second.stderr
                assert "Traceback" not in second.stderr
            replies = [await ask(first.port, body=CHAT) for _ in range(10)]

    assert [reply.status for reply in replies] == [200] * 10


@bounded()
async def test_an_error_that_stops_every_worker_is_reported_once_with_status_2(tmp_path):
    async with scripted(always(http(chat("never")))) as vendor:
        config = config_for(vendor, redis_url="redis://127.0.0.1:1/0?nonsense=1")
        (tmp_path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML, too
        result = await command(*serve(4), "--config", "config.yaml", cwd=tmp_path)

    assert result.status == 2
    assert result.stderr.count("nonsense") == 1
    assert "before it accepted a call" in result.stderr
    assert "Traceback" not in result.stderr


@bounded()
async def test_each_line_of_the_log_is_whole_though_all_workers_write_to_one_pipe(tmp_path):
    calls, clients = 1_200, 12
    read, write = os.pipe()
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serving(tmp_path, vendor, stdout=write) as proxy:
            os.close(write)

            async def client(number):
                connection = await connect(proxy.port)
                for index in range(calls // clients):
                    headers = [("x-request-id", f"{number}-{index}-".ljust(120, "i"))]
                    await connection.send(request(body=CHAT, headers=headers))
                    assert (await connection.reply()).status == 200
                connection.leave()

            await asyncio.gather(*map(client, range(clients)))
            # Nothing was read so far: the pipe is full, and all workers wait to write.
            proxy.signal(signal.SIGTERM)
            with os.fdopen(read, "rb") as pipe:
                written = await asyncio.to_thread(pipe.read)
            assert await proxy.ended() == 0

    lines = [json.loads(line) for line in written.splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == calls


@pytest.mark.parametrize(
    "program", [[LLMPROXY], [sys.executable, "-m", "llmproxy"]], ids=["llmproxy", "-m llmproxy"]
)
@bounded()
async def test_the_script_and_the_module_start_the_same_program(tmp_path, program):
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serving(tmp_path, vendor, program=program) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            assert len(workers_of(proxy)) == 2


@bounded()
async def test_a_single_worker_runs_without_supervisor_and_valkey(tmp_path):
    program = [sys.executable, "-X", "importtime", "-m", "llmproxy"]
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serving(tmp_path, vendor, count=1, program=program) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            assert children_of(proxy.pid) == []
            assert (await health_of(proxy))["shared"] is None

    assert "llmproxy.serving" in proxy.stderr, "the imports are listed"
    for foreign in ("llmproxy.workers", "llmproxy.batteries.shared_state.embedded", "hiredis"):
        assert foreign not in proxy.stderr

"""`llmproxy top --once`: for pipes, and as a health check."""

import asyncio
import sys

import pytest
import yaml

from tests.support.process import command
from tests.support.run import bounded
from tests.support.valkey import free_port
from tests.tools.top import made_up
from tests.tools.top.fake import World, serve_fake
from tests.tools.top.terminal import Terminal

KEY = "sk-admin-secret"


@bounded()
async def test_it_prints_everything_as_plain_text():
    world = World(made_up.state(made_up.ill(), status="degraded"))
    async with serve_fake(world) as root:
        said = await command("top", "--once", "--url", root)
    assert (said.status, said.stderr) == (0, "")
    assert "\x1b" not in said.stdout
    lines = said.stdout.splitlines()
    assert lines[0].startswith("▲ DEGRADED")
    assert max(map(len, lines)) <= 160
    for group in made_up.ill():
        assert any(line.startswith(group["group"]) for line in lines)
        for endpoint in group["endpoints"]:
            assert any(line.startswith(f"  {endpoint['endpoint']}") for line in lines)
    assert any("credential_rejected" in line for line in lines)
    assert any("no_endpoint_available" in line for line in lines)


@pytest.mark.parametrize(
    ("status", "exit_status"), [("ok", 0), ("degraded", 0), ("down", 1), ("draining", 1)]
)
@bounded()
async def test_the_exit_status_is_a_health_check(status, exit_status):
    async with serve_fake(World(made_up.state(status=status))) as root:
        said = await command("top", "--once", "--url", root)
    assert said.status == exit_status
    assert status.upper() in said.stdout


@bounded()
async def test_of_one_group_the_status_is_its_own():
    groups = [made_up.group("good", made_up.endpoint("one"))]
    groups.append(made_up.group("bad", made_up.endpoint("two", "open"), status="down"))
    async with serve_fake(World(made_up.state(groups, status="down"))) as root:
        good, bad, none = await asyncio.gather(
            *(command("top", "--once", "--url", root, "--group", g) for g in ("good", "bad", "x"))
        )
    assert (good.status, bad.status, none.status) == (0, 1, 2)
    assert "two" not in good.stdout
    assert none.stderr == "There is no group 'x'. There are: good, bad.\n"


@bounded()
async def test_columns_says_how_wide_it_may_be():
    async with serve_fake(World()) as root:
        said = await command("top", "--once", "--url", root, environ={"COLUMNS": "60"})
    assert max(map(len, said.stdout.splitlines())) <= 60


@bounded()
async def test_an_output_that_knows_only_ascii_gets_ascii():
    groups = [made_up.group("größte", made_up.endpoint("azure-east"))]
    async with serve_fake(World(made_up.state(groups))) as root:
        environ = {"PYTHONIOENCODING": "ascii"}
        said = await command("top", "--once", "--url", root, environ=environ)
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.isascii()
    assert said.stdout.startswith("* OK")
    assert "gr??te" in said.stdout


@bounded()
async def test_nothing_there_is_unwell_and_a_refusal_is_a_wrong_call():
    gone = await command("top", "--once", "--url", f"http://127.0.0.1:{free_port()}")
    async with serve_fake(World(key=KEY)) as root:
        without = await command("top", "--once", "--url", root)
    assert (gone.status, without.status) == (1, 2)
    assert "Is it running?" in gone.stderr
    assert "answered 401: This is not the admin_key." in without.stderr
    for said in (gone, without):
        assert said.stdout == ""
        assert said.stderr.count("\n") == 1


@bounded()
async def test_address_and_key_come_from_the_config(tmp_path):
    async with serve_fake(World(key=KEY)) as root:
        config = {
            "model_groups": [{"model_group": "a", "models": [{"params": {"api_key": "sk-1"}}]}],
            "general_settings": {"bind_port": int(root.rpartition(":")[2]), "admin_key": KEY},
        }
        (tmp_path / "llmproxy.yaml").write_text(yaml.safe_dump(config))
        said = await command("top", "--once", cwd=tmp_path)
    assert (said.status, said.stderr) == (0, "")


@bounded()
async def test_a_config_that_is_not_needed_is_not_read(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text("model_groups: os.environ/IS_NOT_SET")
    async with serve_fake(World(key=KEY)) as root:
        environ = {"LLMPROXY_ADMIN_KEY": KEY}
        said = await command("top", "--once", "--url", root, cwd=tmp_path, environ=environ)
        without = await command("top", "--once", cwd=tmp_path)
    assert said.status == 0
    assert without.status == 2
    assert "IS_NOT_SET" in without.stderr


@pytest.mark.parametrize(
    "state", [{"status": "ok"}, made_up.state(groups=[made_up.group(3)])], ids=["little", "wrong"]
)
@bounded()
async def test_what_is_told_in_another_way_is_said(state):
    async with serve_fake(World(state)) as root:
        said = await command("top", "--once", "--url", root)
    assert said.status == 2
    assert "Unexpected answer from the proxy" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("key", ["sk-secret\n", "sk-sécret"], ids=["a line break", "an accent"])
@bounded()
async def test_a_key_that_cannot_be_sent_is_not_shown(key):
    said = await command("top", "--once", environ={"LLMPROXY_ADMIN_KEY": key})
    assert said.status == 2
    assert "contains a character that headers cannot carry" in said.stderr
    assert "cret" not in said.stderr


@bounded()
async def test_a_key_follows_no_redirect():
    async def redirect(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    heard = []
    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        environ = {"LLMPROXY_ADMIN_KEY": KEY}
        said = await command("top", "--once", "--url", f"http://127.0.0.1:{port}", environ=environ)
    assert len(heard) == 1
    assert said.status == 2
    assert "answered 302" in said.stderr


@bounded()
async def test_the_live_view_wants_a_terminal():
    said = await command("top")
    assert (said.status, said.stdout) == (2, "")
    assert "llmproxy top --once" in said.stderr


def test_at_a_terminal_it_has_colours_and_its_width():
    from tests.tools.top.fake import served

    with served(World()) as root, Terminal("top", "--once", "--url", root) as terminal:
        assert terminal.ended() == 0
        assert "\x1b[32m● OK" in terminal.written
        assert max(map(len, terminal.said().replace("\r", "").split("\n"))) <= 80


@bounded()
async def test_other_commands_do_not_load_rich(tmp_path):
    program = (
        "import sys, llmproxy.cli, llmproxy.serving, llmproxy.tools.cache_statistics\n"
        "llmproxy.cli.main(['schema'])\n"
        "sys.exit('rich' in sys.modules)"
    )
    said = await command("-c", program, program=sys.executable)
    assert (said.status, said.stderr) == (0, "")
    assert (await command("-c", "import sys, rich", program=sys.executable)).status == 0

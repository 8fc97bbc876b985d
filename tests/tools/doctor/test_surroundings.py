"""What surrounds the endpoints: proxies of the environment, databases, keys, options."""

import asyncio
import json
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import yaml

from tests.support.postgres import postgres
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey
from tests.tools.doctor.live import CALLER_KEY, config_of, entry
from tests.tools.doctor.plants import reply, vendor, whole


async def found_by(folder, config, *options, environ=None):
    """The findings of a doctor, by code, and what it printed."""
    file = folder / "doctor.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    file.chmod(0o600)
    words = ("doctor", "--json", "--config", str(file), *options)
    said = await command(*words, cwd=folder, environ={"HOME": str(folder), **(environ or {})})
    assert "Traceback" not in said.stderr
    found = {finding["code"]: finding for finding in json.loads(said.stdout)["findings"]}
    return found, said


def away(scheme="http", host="127.0.0.1"):
    """An endpoint where nothing listens."""
    return entry("away", 1) | {"params": {"base_url": f"{scheme}://{host}:{free_port()}/v1"}}


@bounded()
@pytest.mark.parametrize(
    "url", ["http://user:of-the-proxy@127.0.0.1:9", "nonsense::::", "http://[::1", "http://x:99999"]
)
async def test_a_proxy_of_the_environment_that_fails_is_blamed_and_not_the_endpoint(tmp_path, url):
    config = config_of(away("https"))

    found, said = await found_by(tmp_path, config, "--live", environ={"HTTPS_PROXY": url})

    assert "HTTPS_PROXY" in found["proxy_unusable"]["cause"]
    assert "NO_PROXY" in found["proxy_unusable"]["remedy"]
    assert "port_refused" not in found
    assert "of-the-proxy" not in said.stdout


@bounded()
async def test_an_ipv6_address_is_written_in_brackets(tmp_path):
    found, said = await found_by(tmp_path, config_of(away(host="[::1]")), "--live")

    assert found["port_refused"]["cause"].startswith("[::1]:")
    assert json.loads(said.stdout)["endpoints"][0]["address"].startswith("[::1]:")


@bounded()
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1", "nonsense", "unix:/nowhere"])
async def test_a_proxy_that_is_named_and_does_not_answer_is_told_of(tmp_path, url):
    async with vendor() as port:
        config = config_of(entry("a", port))
        found, said = await found_by(tmp_path, config, "--live", "--url", url)

    assert found["no_proxy_answers"]["subject"] == url
    assert said.status == 1


@bounded()
async def test_a_running_proxy_that_wants_a_key_is_not_called_without_a_good_one(tmp_path):
    async with vendor() as port:
        config = config_of(entry("a", port), keys_required=True)
        callers = [{"name": "team", "key": CALLER_KEY}]
        served = config_of(entry("a", port), callers=callers)
        async with running(tmp_path / "proxy", config=served) as proxy:
            options = ("--live", "--url", proxy.base)
            without, _ = await found_by(tmp_path, config, *options)
            broken = {"LLMPROXY_API_KEY": f"{CALLER_KEY}\n"}
            odd, said = await found_by(tmp_path, config, *options, environ=broken)

    assert without["no_key_for_proxy"]["subject"] == proxy.base
    assert odd["key_unusable"]["subject"] == "LLMPROXY_API_KEY"
    assert CALLER_KEY not in said.stdout + said.stderr


@bounded()
async def test_a_config_that_cannot_be_used_is_json_too(tmp_path):
    found, said = await found_by(tmp_path, "model_groups: []")
    missing = await command("doctor", "--json", "--config", "nowhere.yaml", cwd=tmp_path)
    nothing = await command("doctor", "--json", cwd=tmp_path)

    assert found["config_unusable"]["subject"].endswith("doctor.yaml:1")
    for one in (said, missing, nothing):
        assert one.status == json.loads(one.stdout)["status"] == 2
        assert json.loads(one.stdout)["findings"][0]["remedy"]


@bounded()
@pytest.mark.parametrize("workers", ["0", "-5", "x", "1" * 9])
async def test_an_impossible_number_of_workers_is_refused(tmp_path, workers):
    said = await command("doctor", "--workers", workers, cwd=tmp_path)

    assert said.status == 2
    assert "expected" in said.stderr


def kept_in(url):
    return config_of(away(), database_url=str(url))


@bounded()
async def test_a_file_that_sqlite_cannot_use_is_found(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database")

    folder, _ = await found_by(tmp_path, kept_in(tmp_path))
    other, _ = await found_by(tmp_path, kept_in(text))

    assert "is a folder, not a file" in folder["database_unusable"]["cause"]
    assert "is no SQLite database" in other["database_unusable"]["cause"]


async def executed(url, *statements):
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
        return await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'calls'")
    finally:
        await connection.close()


@bounded()
async def test_a_database_without_tables_is_left_without_tables(tmp_path):
    async with postgres() as url:
        found, _ = await found_by(tmp_path, kept_in(url))
        tables = await executed(url)

    assert "database_unusable" not in found
    assert tables == 0


VERSIONS = "CREATE TABLE alembic_version (version_num text)"


@bounded()
@pytest.mark.parametrize(("version", "words"), [("9999", "newer"), ("none", "db upgrade")])
async def test_tables_of_another_version_are_found_and_left_alone(tmp_path, version, words):
    async with postgres() as url:
        await executed(url, VERSIONS, f"INSERT INTO alembic_version VALUES ('{version}')")
        found, _ = await found_by(tmp_path, kept_in(url))
        tables = await executed(url)

    assert words in found["database_unusable"]["cause"]
    assert tables == 0


@bounded()
async def test_a_login_without_rights_is_found(tmp_path):
    async with postgres() as url:
        login = "doctor_without_rights"
        await executed(url, f"DROP ROLE IF EXISTS {login}", f"CREATE ROLE {login} LOGIN")
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        own = urlunsplit(parts._replace(netloc=f"{login}@{place}"))
        found, _ = await found_by(tmp_path, kept_in(own))
        await executed(
            url,
            VERSIONS,
            "INSERT INTO alembic_version VALUES ('0001')",
            "CREATE TABLE calls (id text)",
            f"GRANT SELECT ON calls, alembic_version TO {login}",
        )
        reading, _ = await found_by(tmp_path, kept_in(own))
        await executed(
            url,
            f"GRANT ALL ON calls TO {login}",
            f"ALTER ROLE {login} SET default_transaction_read_only = on",
        )
        replica, _ = await found_by(tmp_path, kept_in(own))
        await executed(url, f"DROP OWNED BY {login}", f"DROP ROLE {login}")

    assert "may not make tables in" in found["database_unusable"]["cause"]
    assert "may not read and write the tables" in reading["database_unusable"]["cause"]
    assert "may only be read" in replica["database_unusable"]["cause"]


@pytest.mark.clock
@bounded()
async def test_many_endpoints_that_are_dead_take_no_longer_than_a_few(tmp_path):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    dead = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with dead:
        port = dead.sockets[0].getsockname()[1]
        entries = [
            entry(f"dead-{number}", port)
            | {"params": {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": f"sk-{number:020}"}}
            for number in range(30)
        ]
        began = asyncio.get_running_loop().time()
        options = ("--live", "--timeout", "1")
        found, _ = await found_by(tmp_path, config_of(*entries), *options)
        took_s = asyncio.get_running_loop().time() - began

    assert "no_answer" in found
    assert took_s < 30  # one after the other: 30 times 11 s


@bounded()
async def test_what_ends_a_handshake_is_found(tmp_path):
    async def hangs_up(reader, writer):
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = config_of(entry("a", port))
        config["model_groups"][0]["models"][0]["params"]["base_url"] = f"https://127.0.0.1:{port}"
        found, _ = await found_by(tmp_path, config, "--live")

    assert "in the middle of the handshake" in found["tls_failed"]["cause"]


@bounded()
@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_a_file_of_authorities_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)

    environ = {"SSL_CERT_FILE": str(file)}
    found, said = await found_by(tmp_path, config_of(away()), environ=environ)

    assert str(file) in found["authorities_unusable"]["cause"]
    assert said.status == 2


@bounded()
async def test_a_redis_that_refuses_and_one_that_takes_no_counts_are_found(tmp_path):
    secret = "of-the-right-server"
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    async with valkey(tmp_path / "first", "--requirepass", secret) as server:
        url = f"redis://:of-another-server@127.0.0.1:{server.port}/0"
        refusing, said = await found_by(tmp_path, config_of(away(), redis_url=url))
        replica_of = ("--replicaof", f"127.0.0.1 {server.port}", "--masterauth", secret)
        async with valkey(tmp_path / "second", *replica_of) as replica:
            url = f"redis://127.0.0.1:{replica.port}/0"
            reading, _ = await found_by(tmp_path, config_of(away(), redis_url=url))

    assert "cannot be used: invalid username-password" in refusing["redis_unreachable"]["cause"]
    assert "of-another-server" not in said.stdout + said.stderr
    assert "Name the primary" in reading["redis_read_only"]["remedy"]


@bounded()
async def test_a_password_in_the_address_of_a_proxy_is_not_shown(tmp_path):
    async with vendor() as port:
        options = ("--live", "--url", "http://user:of-the-front@127.0.0.1:1")
        found, said = await found_by(tmp_path, config_of(entry("a", port)), *options)

    assert found["no_proxy_answers"]["subject"] == "http://127.0.0.1:1"
    assert "of-the-front" not in said.stdout + said.stderr


@bounded()
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 204 x\r\n\r\n", "proxy_changes_status"),
        (reply(302, {"location": "/login"}, b""), "proxy_fails"),
        (whole(body=b"[" * 9999), "proxy_changes_answer"),
        (whole(body=b"", kind="text/event-stream"), "proxy_changes_answer"),
        (b"SSH-2.0\r\n", "proxy_fails"),
    ],
)
async def test_a_front_that_answers_oddly_is_found(tmp_path, answer, code):
    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        is_health = head.startswith(b"GET /livez")
        writer.write(reply(200, {"connection": "close"}, b"{}") if is_health else answer)
        await writer.drain()
        writer.close()

    front = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with front, vendor() as port:
        url = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
        found, said = await found_by(tmp_path, config_of(entry("a", port)), "--live", "--url", url)

    assert code in found
    assert said.status == 2

"""Keys and teams of a LiteLLM database go on working here, from a dump of a real PostgreSQL."""

import json
from contextlib import asynccontextmanager

import httpx
import pytest

from llmproxy.batteries.store import Database, address_of
from llmproxy.tools.importing.dump import DumpError, array, moment, rows
from llmproxy.tools.importing.key_import import import_keys
from tests.support.keys import key_instance
from tests.support.process import command, running
from tests.support.run import bounded
from tests.tools.importing.litellm_store import KEY, KEYS, dumped, litellm_database

FORMS = [(), ("--inserts",), ("--column-inserts",), ("--inserts", "--rows-per-insert=3")]


@asynccontextmanager
async def store(folder):
    database = Database(address_of(str(folder / "store.sqlite"), {}), within_s=60)
    try:
        yield database
    finally:
        await database.close()


async def listed(folder):
    """The keys and teams of a store, by name, as operators see them."""
    async with key_instance(str(folder / "store.sqlite")) as instance:
        keys, teams = await instance.keys.page(limit=100), await instance.teams.page()
        by_name = {key["name"]: key for key in keys["keys"]}
        return by_name, {team["name"]: team for team in teams["teams"]}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(form) or "copy")
@bounded()
async def test_every_form_of_a_dump_gives_the_same_keys_and_teams(tmp_path, form):
    async with litellm_database() as url:
        dump = await dumped(url, tmp_path / "dump.sql", *form)

    async with store(tmp_path) as database:
        report = await import_keys(dump, database)

    assert (report.keys.added, report.teams.added) == (6, 2)
    keys, teams = await listed(tmp_path)
    nightly = keys["nightly"]
    assert (nightly["team"], nightly["owner"]) == ("search", "ada@example.com")
    assert nightly["tags"] == ["batch", "eu"]
    assert nightly["limits"] == {"rpm": 60, "tpm": 9_000_000_000, "concurrent": None}
    assert nightly["models"] is None  # those of its team
    assert [(b["amount"], b["per"]) for b in nightly["budgets"]] == [("6", "total")]  # what is left
    budget = keys["with-budget"]
    assert (budget["limits"]["rpm"], budget["models"]) == (90, ["gpt-4.1"])
    assert [(b["amount"], b["per"]) for b in budget["budgets"]] == [("25", "week")]
    assert keys["odd'name with; \\ everything-ü"]["state"] == "blocked"
    assert {"nightly-2", "later"} < set(keys)
    assert teams["search"]["models"] == ["gpt-4.1", "openai/*"]
    assert [(b["amount"], b["per"]) for b in teams["search"]["budgets"]] == [("200", "month")]
    assert teams["t-2"]["state"] == "blocked"


@bounded()
async def test_what_is_not_carried_over_is_counted(tmp_path):
    async with litellm_database() as url:
        dump = await dumped(url, tmp_path / "dump.sql")

    async with store(tmp_path) as database:
        report = await import_keys(dump, database)

    text = report.as_text()
    for words in ("had expired", "user interface", "model_max_budget", "left of them"):
        assert words in text
    assert report.status == 1


@bounded()
async def test_a_second_import_changes_nothing(tmp_path):
    async with litellm_database() as url:
        dump = await dumped(url, tmp_path / "dump.sql")

    async with store(tmp_path) as database:
        first = await import_keys(dump, database)
        before = await listed(tmp_path)
        second = await import_keys(dump, database)

    assert (second.keys.added, second.keys.known) == (0, first.keys.added)
    assert (second.teams.added, second.teams.known) == (0, 2)
    assert await listed(tmp_path) == before


@bounded()
async def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path):
    async with litellm_database() as url:
        dump = await dumped(url, tmp_path / "dump.sql")

    async with store(tmp_path) as database:
        dry = await import_keys(dump, database, dry=True)
    made_a_file = (tmp_path / "store.sqlite").exists()
    async with store(tmp_path) as database:
        real = await import_keys(dump, database)

    assert not made_a_file
    assert (dry.keys, dry.teams) == (real.keys, real.teams)


@bounded()
async def test_a_name_that_is_taken_is_changed(tmp_path):
    async with litellm_database(KEYS[:1]) as url:
        dump = await dumped(url, tmp_path / "dump.sql")

    async with store(tmp_path) as database:
        report = await import_keys(dump, database, taken=frozenset({"nightly"}))

    keys, _ = await listed(tmp_path)
    assert report.keys.renamed == 1
    assert next(iter(keys)).startswith("nightly-")


@bounded()
async def test_many_keys_are_added_in_pages(tmp_path):
    keys = [{"secret": f"sk-{number}", "key_alias": f"key {number}"} for number in range(450)]
    async with litellm_database(keys) as url:
        dump = await dumped(url, tmp_path / "dump.sql")

    async with store(tmp_path) as database:
        report = await import_keys(dump, database)

    assert report.keys.added == 450


@bounded()
async def test_a_client_goes_on_using_its_key_of_litellm(tmp_path):
    async with litellm_database() as url:
        dump = await dumped(url, tmp_path / "dump.sql")
    config = {
        "model_groups": [
            {"model_group": "gpt-4.1", "models": [{"model": "x", "params": {"api_key": "k"}}]}
        ],
        "general_settings": {"keys_required": True, "database_url": str(tmp_path / "s.sqlite")},
    }
    (tmp_path / "c.yaml").write_text(json.dumps(config))

    done = await command("import", "--keys", str(dump), "--config", "c.yaml", cwd=tmp_path)
    async with running(tmp_path / "run", config=config) as proxy, httpx.AsyncClient() as client:

        async def status(key):
            headers = {"authorization": f"Bearer {key}"}
            return (await client.get(f"{proxy.base}/v1/models", headers=headers)).status_code

        known, blocked, unknown = await status(KEY), await status("sk-odd"), await status("sk-no")

    assert "6 keys added" in done.stdout, done.stderr
    assert KEY not in done.stdout + done.stderr
    assert (known, blocked, unknown) == (200, 401, 401)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PGDMP\x01", "pg_restore"),
        ('COPY public."LiteLLM_VerificationToken" (token) FROM stdin;\nabc\n', "middle of a table"),
        ("INSERT INTO public.\"LiteLLM_VerificationToken\" VALUES ('a');\n", "--column-inserts"),
        ('INSERT INTO public."LiteLLM_VerificationToken" (token) VALUES (\'a\n', "middle of a"),
    ],
)
@bounded()
async def test_a_dump_that_cannot_be_read_says_why(tmp_path, text, words):
    (tmp_path / "dump.sql").write_text(text)

    said = await command(
        "import", "--keys", "dump.sql", cwd=tmp_path, environ={"STATE_DIRECTORY": str(tmp_path)}
    )

    assert (said.status, said.stdout) == (2, "")
    assert words in said.stderr
    assert "Traceback" not in said.stderr


@bounded()
async def test_a_config_and_a_dump_are_not_imported_at_once(tmp_path):
    said = await command("import", "c.yaml", "--keys", "dump.sql", cwd=tmp_path)

    assert said.status == 2
    assert "either" in said.stderr


@pytest.mark.parametrize(
    ("text", "elements"),
    [(None, []), ("{}", []), ("{a,b}", ["a", "b"]), ('{"a, b","c\\"d",e}', ["a, b", 'c"d', "e"])],
)
def test_arrays_are_read_as_postgresql_writes_them(text, elements):
    assert array(text) == elements


def test_a_moment_without_a_zone_is_in_utc():
    assert moment("2026-01-01 00:00:00") == moment("2026-01-01 01:00:00.000+01") == 1767225600


def test_other_tables_are_passed_over():
    lines = ["COPY public.other (a) FROM stdin;\n", "1\n", "\\.\n"]

    assert list(rows(iter(lines), {"wanted"})) == []
    with pytest.raises(DumpError):
        list(rows(iter(lines[:2]), {"other"}))

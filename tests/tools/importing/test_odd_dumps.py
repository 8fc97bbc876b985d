"""Dumps of LiteLLM's database that are in another form, or hold values that few have."""

import gzip
import json

import pytest

from tests.support.process import command
from tests.support.run import bounded

DIGEST = "a" * 64
CONFIG = """\
model_groups: [{model_group: m, models: [{model: m, params: {api_key: k}}]}]
general_settings: {database_url: "sqlite:///%s"}
"""


async def brought(folder, dump):
    (folder / "dump.sql").write_bytes(dump)
    (folder / "c.yaml").write_text(CONFIG % (folder / "store.db"))
    return await command("import", "--keys", "dump.sql", "--config", "c.yaml", "--json", cwd=folder)


def copied(**columns):
    names, values = ", ".join(("token", *columns)), "\t".join((DIGEST, *columns.values()))
    head = f'COPY public."LiteLLM_VerificationToken" ({names}) FROM stdin;'
    return f"{head}\n{values}\n\\.\n".encode()


@pytest.mark.parametrize(
    "columns",
    [
        {"max_budget": "NaN", "spend": "0"},
        {"max_budget": "Infinity", "spend": "1", "budget_duration": "30d"},
        {"max_budget": "1e+16", "spend": "1"},
        {"max_budget": "10", "spend": "NaN"},
        {"rpm_limit": "99999999999999999", "tpm_limit": "-1"},
        {"expires": "infinity"},
    ],
)
@bounded()
async def test_a_key_with_values_that_bound_nothing_is_brought(tmp_path, columns):
    said = await brought(tmp_path, copied(**columns))

    assert said.stderr == ""
    assert json.loads(said.stdout)["keys"]["added"] == 1


@pytest.mark.parametrize(
    ("dump", "words"),
    [
        (gzip.compress(copied()), "gunzip"),
        (b"PGDMP\x01\x0e\x00\xff\xfe", "pg_restore"),
        (copied().decode().encode("utf-16"), "UTF-8"),
        (b"", "Is it a dump of LiteLLM's database"),
        (b'{"a": 1}', "Is it a dump of LiteLLM's database"),
        (copied(expires="garbage"), "Dump it again"),
    ],
    ids=["gzip", "custom", "utf-16", "empty", "json", "garbage"],
)
@bounded()
async def test_a_file_in_another_form_is_refused_with_what_to_do(tmp_path, dump, words):
    said = await brought(tmp_path, dump)

    assert (said.status, said.stdout) == (2, "")
    assert words in said.stderr
    assert "Traceback" not in said.stderr

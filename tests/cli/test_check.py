"""`llmproxy check` and `llmproxy schema`: a config is judged without starting anything."""

import json
import re
from pathlib import Path

import yaml

from tests.support.complaints import messages
from tests.support.process import command
from tests.support.run import bounded

GOOD = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - model: gpt-4.1
        params: {api_key: os.environ/A_KEY, default_headers: {x-extra: sk-in-a-header}}
      - model: gpt-4.1
        params: {api_key: sk-in-the-file, base_url: https://vendor.example/v1}
general_settings:
  redis_url: rediss://user:pw-of-redis@redis.example:6380/0
  callers: [{name: team-a, key: sk-of-a-caller}]
"""
BAD = """\
model_groups:
  - model_group: gpt-4.1
    modles: []
    models:
      - model: gpt-4.1
        weight: -1
        params: {api_key: os.environ/NOT_SET}
"""
SECRETS = [
    *("sk-in-the-file", "sk-in-the-environment", "sk-in-a-header"),
    *("pw-of-redis", "sk-of-a-caller"),
]
ENVIRON = {"A_KEY": "sk-in-the-environment"}
EXAMPLE = Path(__file__).parents[2] / "llmproxy.example.yaml"
MENTIONED = r"^( *)# ( *(?:- |[a-z_]+:).*)$"  # YAML that is a comment


@bounded()
async def test_a_good_config_gets_one_line_and_status_0(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)

    said = await command("check", "good.yaml", cwd=tmp_path, environ=ENVIRON)

    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith("good.yaml: ok, 1 model group")
    assert "2 endpoints" in said.stdout


@bounded()
async def test_every_problem_is_told_at_once_with_its_line_and_status_2(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)

    said = await command("check", "bad.yaml", cwd=tmp_path)

    assert (said.status, said.stdout) == (2, "")
    unknown, weight, unset, count = messages(said.stderr)
    assert unknown.startswith("bad.yaml:3: ")
    assert "'modles'" in unknown
    assert "Did you mean models?" in unknown
    assert weight.startswith("bad.yaml:6: ")
    assert "found -1" in weight
    assert unset.startswith("bad.yaml:7: ")
    assert "NOT_SET" in unset
    assert count == "3 problems."
    assert "  3 |     modles: []\n    |     ^^^^^^\n" in said.stderr


@bounded()
async def test_editors_get_every_problem_as_json(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "good.yaml").write_text(GOOD)

    said = await command("check", "--json", "bad.yaml", cwd=tmp_path)
    good = await command("check", "--json", "good.yaml", cwd=tmp_path, environ=ENVIRON)

    assert (said.status, said.stderr) == (2, "")
    unknown, weight, unset = json.loads(said.stdout)["problems"]
    assert unknown == {
        "file": "bad.yaml",
        "line": 3,
        "column": 5,
        "end_column": 11,
        "message": "model_groups[0]: unknown key 'modles'.",
        "remedy": "Did you mean models?",
    }
    assert (weight["line"], weight["column"], weight["end_column"]) == (6, 17, 19)
    assert unset["line"] == 7
    assert (good.status, json.loads(good.stdout)) == (0, {"problems": []})


@bounded()
async def test_a_file_that_is_not_there_is_json_too(tmp_path):
    said = await command("check", "--json", "none.yaml", cwd=tmp_path)

    (problem,) = json.loads(said.stdout)["problems"]
    assert (said.status, problem["line"], problem["column"]) == (2, None, None)
    assert "does not exist" in problem["message"]


@bounded()
async def test_show_prints_the_effective_config_with_its_secrets_masked(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)

    said = await command("check", "--show", "good.yaml", cwd=tmp_path, environ=ENVIRON)

    assert said.status == 0
    shown = yaml.safe_load(said.stdout)
    first, second = shown["model_groups"][0]["models"]
    assert first["params"]["api_key"] == second["params"]["api_key"] == "***"
    assert first["name"] == "api.openai.com", "generated names are shown"
    assert second["params"]["base_url"] == "https://vendor.example/v1"
    assert shown["general_settings"]["num_retries"] == 3, "so are defaults"
    assert shown["general_settings"]["redis_url"] == "rediss://***@redis.example:6380/0"
    assert shown["general_settings"]["callers"] == [{"name": "team-a", "key": "***1"}]
    for secret in SECRETS:
        assert secret not in said.stdout + said.stderr


@bounded()
async def test_what_show_prints_is_itself_a_good_config(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    shown = await command("check", "--show", "good.yaml", cwd=tmp_path, environ=ENVIRON)
    (tmp_path / "shown.yaml").write_text(shown.stdout)

    assert (await command("check", "shown.yaml", cwd=tmp_path)).status == 0


@bounded()
async def test_the_example_needs_only_its_keys():
    keys = ["AZURE_EAST_KEY", "AZURE_WEST_KEY", "OPENAI_API_KEY", "GROQ_API_KEY"]
    keys += ["ANTHROPIC_API_KEY"]

    assert (await command("check", str(EXAMPLE), environ=dict.fromkeys(keys, "k"))).status == 0

    said = await command("check", str(EXAMPLE))
    assert said.status == 2
    for key in keys:
        assert key in said.stderr


@bounded()
async def test_the_example_is_still_good_with_all_that_it_only_mentions(tmp_path):
    mentioned = re.sub(MENTIONED, r"\1\2", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert not re.search(r"^ *#.*[]})]$", mentioned, re.MULTILINE), "YAML is still a comment"
    (tmp_path / "all.yaml").write_text(mentioned)
    variables = re.findall(r"(?:os.environ/|\$\{)(\w+)(?!\w*:-)", mentioned)
    environ = dict.fromkeys(variables, "k") | {"SLACK_WEBHOOK": "https://hooks.example/T/B"}

    said = await command("check", "all.yaml", cwd=tmp_path, environ=environ)

    assert (said.status, said.stderr) == (0, "")


@bounded()
async def test_the_schema_is_json_and_knows_the_example():
    said = await command("schema")

    assert (said.status, said.stderr) == (0, "")
    schema = json.loads(said.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert yaml.safe_load(EXAMPLE.read_text()).keys() <= schema["properties"].keys()
    assert schema["required"] == ["model_groups"]


@bounded()
async def test_the_schema_in_the_docs_is_the_one_that_is_printed():
    docs = Path(__file__).parents[2] / "docs" / "llmproxy.schema.json"

    assert json.loads((await command("schema")).stdout) == json.loads(docs.read_text())


@bounded()
async def test_a_config_that_does_not_exist_leads_to_init(tmp_path):
    said = await command("check", str(tmp_path / "llmproxy.yaml"))

    assert said.status == 2
    assert "this file does not exist" in said.stderr
    assert "`llmproxy init` writes a config" in said.stderr

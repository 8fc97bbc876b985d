"""What is shown of a config: masked YAML, the schema, the generated reference."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llmproxy.batteries.config_file import json_schema, load_config, masked, parse_config
from llmproxy.config import Config

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "llmproxy.example.yaml"
SECRET = "sk-tell-nobody"
VENDORS = ("AZURE_EAST", "AZURE_WEST", "OPENAI_API", "GROQ_API", "ANTHROPIC_API")
KEYS = {f"{vendor}_KEY": SECRET for vendor in VENDORS}

SECRETIVE = f"""\
model_groups:
  - model_group: m
    models:
      - params:
          api_key: {SECRET}
          default_headers: {{authorization: Bearer {SECRET}}}
          default_query: {{code: {SECRET}, api-version: preview}}
"""


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        masked,
        lambda config: repr(config.model_dump()),
        lambda config: repr(config.model_dump(mode="json")),
        lambda config: config.model_dump_json(),
        lambda config: repr(config.model_groups[0].models[0].params),
        lambda config: repr(list(config.model_groups[0].models[0].params)),
    ],
)
def test_no_view_of_a_config_shows_a_secret(show):
    shown = show(parse_config(SECRETIVE, {}, file="f.yaml"))

    assert SECRET not in shown
    assert "api_key" in shown


def test_the_masked_config_says_all_but_the_secrets():
    shown = yaml.safe_load(masked(parse_config(SECRETIVE, {}, file="f.yaml")))

    assert shown["model_groups"][0]["models"][0] == {
        "name": "api.openai.com",
        "weight": 1,
        "tier": 0,
        "drop_unsupported": False,
        "params": {
            "api_key": "***",
            "default_headers": {"authorization": "***"},
            "default_query": {"code": "***", "api-version": "preview"},
        },
    }
    assert shown["general_settings"]["timeouts"]["connect_s"] == 5


def test_the_masked_config_is_itself_a_config_that_says_the_same():
    shown = masked(load_config(EXAMPLE, KEYS))

    assert masked(parse_config(shown, {}, file="again.yaml")) == shown


def test_a_value_that_looks_like_a_reference_survives_being_shown():
    config = parse_config(
        "model_groups: [{model_group: 'a$${B}', models: [{}]}]", {}, file="f.yaml"
    )

    again = parse_config(masked(config), {}, file="again.yaml")
    assert again.model_groups[0].model_group == config.model_groups[0].model_group == "a${B}"


def test_the_example_is_a_config():
    config = load_config(EXAMPLE, KEYS)

    assert [group.model_group for group in config.model_groups] == ["gpt-4.1", "llama", "best", "*"]
    assert EXAMPLE.read_text().startswith(
        "# yaml-language-server: $schema=docs/llmproxy.schema.json"
    )


def test_what_the_example_leaves_out_of_the_general_settings_is_valid_together():
    models, settings = EXAMPLE.read_text().split("\ngeneral_settings:\n")
    whole = re.sub(r"(?m)^ +# (?=[a-z_ {-]*[a-z_]+:)", lambda m: m[0].replace("# ", ""), settings)
    environ = KEYS | {f"{name}_KEY": f"key-of-{name}" for name in ("TEAM_A", "ANN")}
    environ |= dict.fromkeys(("LLMPROXY_ADMIN_KEY", "PGPASSWORD", "REDIS_PASSWORD"), "secret")
    environ["SLACK_WEBHOOK"] = "https://hooks.example.com/x"

    config = parse_config(f"{models}\ngeneral_settings:\n{whole}", environ, file="f.yaml")

    used = config.general_settings.model_fields_set
    assert used >= {"redis_url", "state_file", "callers", "budgets", "alerts", "sign_in", "jwt"}


def test_the_example_in_the_reference_is_a_config():
    page = (ROOT / "docs/reference/configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert parse_config(example, KEYS, file="f.yaml") == load_config(EXAMPLE, KEYS)


def sections(schema):
    return [schema, *(part for part in schema["$defs"].values() if "properties" in part)]


def test_the_schema_knows_every_key_and_refuses_others():
    schema = json_schema()

    assert set(schema["properties"]) == set(Config.model_fields)
    assert all(section["additionalProperties"] is False for section in sections(schema))
    assert len(sections(schema)) == 23


def test_every_key_has_a_description():
    fields = [field for part in sections(json_schema()) for field in part["properties"].values()]

    assert len(fields) > 40
    assert all(field["description"].endswith((".", "`")) for field in fields)


def test_the_schema_lets_a_number_be_a_reference_and_knows_one():
    schema = json_schema()
    port = schema["$defs"]["FullSettings"]["properties"]["bind_port"]

    assert port["anyOf"] == [
        {"type": "integer", "minimum": 0, "maximum": 65535},
        {"$ref": "#/$defs/Reference"},
    ]
    reference = re.compile(schema["$defs"]["Reference"]["pattern"])
    assert reference.search("${PORT:-4000}")
    assert reference.search("os.environ/PORT")
    assert not reference.search("4000 or so")


def test_the_schema_lets_no_section_or_list_be_a_reference():
    schema = json_schema()
    entry = schema["$defs"]["ModelEntry"]["properties"]
    groups = schema["$defs"]["Caller"]["properties"]["groups"]

    assert entry["price"]["anyOf"] == [{"$ref": "#/$defs/Price"}, {"type": "null"}]
    assert entry["limits"]["anyOf"] == [{"$ref": "#/$defs/Limits"}, {"type": "null"}]
    assert [option["type"] for option in groups["anyOf"]] == ["array", "null"]


def test_the_reference_explains_every_key_of_every_section():
    page = (ROOT / "docs/reference/configuration.md").read_text()
    tables = [set(re.findall(r"^\| `(\w+)` \|", part, re.M)) for part in page.split("\n## ")]

    for section in sections(json_schema()):
        assert set(section["properties"]) in tables


def test_stale_docs_are_written_again_and_reported_by_name(tmp_path):
    """That the docs of this commit are fresh is for `make check`."""
    (tmp_path / "llmproxy.example.yaml").write_text((ROOT / "llmproxy.example.yaml").read_text())
    code = """
import sys
from pathlib import Path
import reference
root = Path(sys.argv[1])
statuses = [reference.main(arguments, root) for arguments in ([], ["--check"])]
(root / "docs/reference/configuration.md").write_text("old")
statuses += [reference.main(["--check"], root), reference.main([], root)]
print(statuses, reference.main(["--check"], root))
"""

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        text=True,
        check=True,
    )

    lines = done.stdout.splitlines()
    told = [line for line in lines if not line.startswith("wrote ")]
    stale = "docs/reference/configuration.md: stale, run `make docs` and commit the result."
    fresh = "Generated docs match the code."
    assert told == [fresh, stale, fresh, "[0, 0, 1, 0] 0"]
    assert lines.count("wrote docs/reference/configuration.md") == 2

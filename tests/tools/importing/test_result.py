"""Whatever is imported passes `check`, says nothing secret, and is written with care."""

import json
import stat

import pytest

from tests.support.process import command
from tests.support.run import bounded
from tests.tools.importing.imported import CONFIGS, example, imported

EXAMPLES = sorted(path.name for path in CONFIGS.iterdir() if path.suffix in (".yaml", ".json"))
LITERALS = ("sk-proj-a-real-key-in-the-file", "sk-the-master-key", "the-password")


@pytest.mark.parametrize("name", EXAMPLES)
@bounded()
async def test_the_result_passes_check_with_its_variables_set(tmp_path, name):
    result = example(name)
    path = tmp_path / "llmproxy.yaml"
    path.write_text(result.text)
    environ = dict.fromkeys(result.report.variables, "x")
    for variable in environ:
        if "BASE" in variable or "URL" in variable:
            environ[variable] = "https://host.example"
        if variable.endswith("PORT"):
            environ[variable] = "6379"

    said = await command("check", str(path), environ=environ)

    assert said.status == 0, said.stderr
    assert result.report.problems == []


def test_a_report_never_contains_a_secret():
    report = example("thirty_keys.yaml").report

    for text in (report.as_text(), report.as_json()):
        assert not [secret for secret in LITERALS if secret in text]
    assert "sk-the-master-key" in example("thirty_keys.yaml").text  # and it works


def test_a_secret_in_the_clear_is_reported_with_its_line():
    result = example("thirty_keys.yaml")

    for path, line in (
        ("model_list[2].litellm_params.api_key", 31),
        ("general_settings.master_key", 73),
    ):
        found = result.finding(path)
        assert (found.kind.name, found.line) == ("IN_THE_CLEAR", line)
        assert "os.environ/NAME" in found.text


def test_the_variables_that_a_config_needs_are_named(tmp_path):
    text = (
        "model_list: [{model_name: m, litellm_params: {model: azure/d, api_base: os.environ/B}}]\n"
    )

    report = imported(tmp_path, text, environ={"B": "https://x.openai.azure.com"}).report

    assert report.variables == {"B": True, "AZURE_API_KEY": False}
    assert "AZURE_API_KEY" in report.as_text()


@bounded()
async def test_the_command_writes_the_config_and_reports_beside_it(tmp_path):
    config, output = CONFIGS / "thirty_keys.yaml", tmp_path / "llmproxy.yaml"

    said = await command("import", str(config), "--output", str(output))
    printed = await command("import", str(config), "--json")

    assert said.status == printed.status == 1
    assert said.stdout == ""
    assert "general_settings.database_url" in said.stderr
    assert output.read_text() == printed.stdout
    assert stat.S_IMODE(output.stat().st_mode) == 0o600  # it has a key in it
    report = json.loads(printed.stderr)
    assert report["status"] == 1
    assert {"kind", "file", "line", "path", "text"} == set(report["findings"][0])


@bounded()
async def test_a_file_that_exists_is_replaced_only_when_that_is_said(tmp_path):
    config, output = str(CONFIGS / "azure.yaml"), tmp_path / "llmproxy.yaml"
    output.write_text("mine")

    refused = await command("import", config, "--output", str(output))
    kept = output.read_text()
    forced = await command("import", config, "--output", str(output), "--force")

    assert (refused.status, kept) == (2, "mine")
    assert "--force" in refused.stderr
    assert forced.status == 1
    assert "azure_endpoint" in output.read_text()


@bounded()
async def test_status_0_means_that_everything_was_carried_over(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "model_list: [{model_name: m, litellm_params: {model: gpt-4o, api_key: os.environ/K}}]\n"
    )

    said = await command("import", "c.yaml", cwd=tmp_path)

    assert said.status == 0
    assert "Nothing was left out." in said.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["does not exist"]),
        ("a: [", ["c.yaml:", "not valid YAML"]),
        ("- 1\n", ["expected key: value lines"]),
        ("hello: 1\n", ["--from"]),
        ("model_list: []\n", ["no model"]),
        ("a: &x\n  b: *x\n", ["c.yaml:"]),
    ],
)
@bounded()
async def test_a_file_that_cannot_be_imported_is_status_2_with_the_reason(tmp_path, text, words):
    if text is not None:
        (tmp_path / "c.yaml").write_text(text)

    said = await command("import", "c.yaml", cwd=tmp_path)

    assert (said.status, said.stdout) == (2, "")
    assert not [word for word in words if word not in said.stderr], said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model_list:\n- {model_name: a, litellm_params: {model: b}}\n", 1),
        ("model_groups:\n- model_name: a\n  litellm_params: {model: azure/b}\n", 3),
    ],
)
@bounded()
async def test_check_points_to_import_when_it_is_given_a_litellm_config(tmp_path, text, line):
    (tmp_path / "c.yaml").write_text(text)

    said = await command("check", "c.yaml", cwd=tmp_path)

    assert said.status == 2
    pointing = [found for found in said.stderr.splitlines() if "llmproxy import" in found]
    assert len(pointing) == 1
    assert pointing[0].startswith(f"c.yaml:{line}:")

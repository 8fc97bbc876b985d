"""Starting wrongly is not starting: what was meant is used, or told with its line and refused."""

import pytest

from tests.support.complaints import messages
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

SERVE = ("serve", "--port", "0")
GOOD = "model_groups: [{model_group: a, models: [{name: mine, params: {api_key: k}}]}]\n"
ONE = """\
model_groups:
  - model_group: m
    models:
      - model: m
        name: a
        {entry}
        params:
          base_url: {url}
          api_key: k
general_settings:
  num_retries: 3
{settings}"""


def one(entry="weight: 1", url="https://vendor.example/v1", settings=""):
    """A config with one endpoint: `entry` is line 6, the URL line 8, `settings` from line 12."""
    return ONE.format(entry=entry, url=url, settings=settings)


async def checked(folder, text):
    """The lines of `llmproxy check` on a wrong config, the count of problems left out."""
    (folder / "c.yaml").write_text(text)
    said = await command("check", "c.yaml", cwd=folder)
    assert (said.status, said.stdout) == (2, ""), said
    return messages(said.stderr)[:-1]


@bounded()
async def test_a_file_named_yml_is_used(tmp_path):
    (tmp_path / "llmproxy.yml").write_text(GOOD)

    async with running(tmp_path, *SERVE) as proxy:
        assert "configured by llmproxy.yml" in proxy.stderr
        assert "DEMO" not in proxy.stderr
    assert (await command("check", cwd=tmp_path)).stdout.startswith("llmproxy.yml: ok")


@bounded()
async def test_of_two_files_none_is_overlooked(tmp_path):
    for name in ("llmproxy.yml", "llmproxy.yaml"):
        (tmp_path / name).write_text(GOOD)

    said = await command(*SERVE, cwd=tmp_path)

    assert said.status == 2
    assert "llmproxy.yaml is in this folder, too" in said.stderr


@bounded()
async def test_a_file_that_a_variable_names_is_used(tmp_path):
    (tmp_path / "other.yaml").write_text(GOOD)

    async with running(tmp_path, *SERVE, environ={"LLMPROXY_CONFIG": "other.yaml"}) as proxy:
        assert "configured by other.yaml" in proxy.stderr


@pytest.mark.parametrize("name", ["config.yaml", "proxy.yml", "LLMProxy.yaml"])
@bounded()
async def test_a_config_that_nothing_names_is_told_and_the_demo_does_not_start(tmp_path, name):
    (tmp_path / name).write_text("model_list: []\n" if name == "proxy.yml" else GOOD)

    said = await command(*SERVE, cwd=tmp_path)

    assert said.status == 2
    assert said.stderr.startswith(f"{name}: this looks like a config")
    assert f"--config {name}" in said.stderr


@bounded()
async def test_the_key_of_another_vendor_is_used(tmp_path):
    async with running(tmp_path, *SERVE, environ={"ANTHROPIC_API_KEY": "sk-ant"}) as proxy:
        assert "configured by the environment" in proxy.stderr
        assert "*: anthropic" in proxy.stderr
        assert "sk-ant" not in proxy.stderr


@pytest.mark.parametrize("name", ["AZURE_API_KEY", "OPENAI_KEY", "CLAUDE_API_KEY"])
@bounded()
async def test_a_variable_that_is_nearly_right_is_told_and_the_demo_does_not_start(tmp_path, name):
    said = await command(*SERVE, cwd=tmp_path, environ={name: "sk-secret"})

    assert said.status == 2
    assert f"{name} is set, but nothing reads it" in said.stderr
    assert "sk-secret" not in said.stderr


@bounded()
async def test_an_open_address_without_callers_is_warned_of(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text(GOOD)
    async with running(tmp_path, *SERVE, "--host", "0.0.0.0") as proxy:
        assert "WARNING: 0.0.0.0 is reachable from other machines" in proxy.stderr
        assert "callers" in proxy.stderr
    async with running(tmp_path, *SERVE) as proxy:
        assert "WARNING" not in proxy.stderr
    with_callers = GOOD + "general_settings: {callers: [{name: t, key: k1}]}\n"
    (tmp_path / "llmproxy.yaml").write_text(with_callers)
    async with running(tmp_path, *SERVE, "--host", "0.0.0.0") as proxy:
        assert "WARNING" not in proxy.stderr


@bounded()
async def test_check_warns_of_an_open_address_too(tmp_path):
    (tmp_path / "c.yaml").write_text(GOOD + "general_settings: {bind_address: '::'}\n")

    said = await command("check", "c.yaml", cwd=tmp_path)

    assert said.status == 0
    assert "WARNING: :: is reachable" in said.stderr


@pytest.mark.parametrize(
    ("provider", "meant"),
    [("grok", "xai or groq"), ("opnai", "openai"), ("Azure", "azure"), ("google", "gemini")],
)
@bounded()
async def test_an_unknown_provider_has_its_line_and_the_likely_one(tmp_path, provider, meant):
    (problem,) = await checked(tmp_path, one(f"provider: {provider}"))

    assert problem.startswith(f"c.yaml:6: endpoint 'a' of 'm': unknown provider '{provider}'.")
    assert f"Did you mean {meant}" in problem


@bounded()
async def test_every_problem_of_an_endpoint_has_its_line(tmp_path):
    (problem,) = await checked(tmp_path, one(url="https://east.openai.azure.com/"))
    assert problem.startswith("c.yaml:8: endpoint 'a' of 'm': an Azure address without")

    (problem,) = await checked(
        tmp_path, one("provider: generic").replace("base_url: h", "project: h")
    )
    assert problem.startswith("c.yaml:6: ")


@pytest.mark.parametrize(
    "end", ["/chat/completions", "/chat/completions/", "/responses", "/embeddings", "/messages"]
)
@bounded()
async def test_the_address_of_one_operation_is_no_base_url(tmp_path, end):
    (problem,) = await checked(tmp_path, one(url=f"https://vendor.example/v1{end}"))

    assert problem.startswith("c.yaml:8: model_groups[0].models[0].params.base_url: ")
    assert f"Remove {end.rstrip('/')} from its end" in problem


@bounded()
async def test_files_that_could_not_be_written_are_told(tmp_path):
    settings = """\
  cache: true
  cache_params:
    type: disk
    path: PATH
"""

    async def answers(path):
        (problem,) = await checked(tmp_path, one(settings=settings.replace("PATH", path)))
        assert problem.startswith("c.yaml:15: general_settings.cache_params.path: ")
        return problem

    assert "does not exist. Create it" in await answers("nowhere/answers.sqlite3")
    assert "is not a directory" in await answers("c.yaml/answers.sqlite3")
    assert "is a directory" in await answers(".")


@bounded()
async def test_keys_of_the_call_file_are_accepted_and_told(tmp_path):
    settings = "  call_file: calls.sqlite3\n  call_file_keep_s: 100\n"
    (tmp_path / "c.yaml").write_text(one(settings=settings))

    done = await command("check", "c.yaml", cwd=tmp_path)
    assert done.status == 0
    told = done.stdout + done.stderr
    assert "general_settings.call_file, call_file_keep_s: no effect any more" in told
    assert "database_url" in told


@bounded()
async def test_a_check_leaves_no_file_behind(tmp_path):
    (tmp_path / "c.yaml").write_text(one())

    assert (await command("check", "c.yaml", cwd=tmp_path)).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@bounded()
async def test_an_open_quote_is_told_where_it_opens(tmp_path):
    (problem,) = await checked(tmp_path, one().replace("name: a", 'name: "a'))

    assert problem.startswith("c.yaml:5: not valid YAML")


@bounded()
async def test_keys_of_several_other_vendors_are_told(tmp_path):
    environ = {"ANTHROPIC_API_KEY": "k1", "GROQ_API_KEY": "k2"}

    said = await command(*SERVE, cwd=tmp_path, environ=environ)

    assert said.status == 2
    assert "ANTHROPIC_API_KEY, GROQ_API_KEY" in said.stderr


@bounded()
async def test_openais_key_goes_before_those_of_other_vendors(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": vendor.base_url, "GROQ_API_KEY": "k2"}
        async with running(tmp_path, *SERVE, environ=environ) as proxy:
            assert "groq" not in proxy.stderr

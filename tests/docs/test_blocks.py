"""Every block of code on a page is run here or elsewhere, or checked by its own parser.

`EXCUSED` lists those of which only the syntax is checked, each with its reason.
"""

import ast
import configparser
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.providers import endpoints_of
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.docs.pages import blocks
from tests.support.background import in_background
from tests.support.proxy import serve_proxy

ADDRESS = "http://127.0.0.1:4000"
ADMIN = "sk-admin-of-the-docs"
GROUP = """
model_groups:
  - model_group: gpt-4.1
    fallbacks: [claude]
    models:
      - {name: openai, params: {base_url: &address "%s", api_key: sk-upstream}}
  - model_group: claude
    models:
      - params: {base_url: *address, api_key: sk-upstream}
"""
EXCUSED = {
    "CONTRIBUTING.md: make check": "these are what runs the tests",
    "CONTRIBUTING.md: make mutants": "takes half an hour",
    "docs/project/measurements.md: make cost": "takes minutes; CI runs it with --check",
    "docs/project/measurements.md: make bench ARGS": "takes minutes and two quiet cores",
    "docs/project/measurements.md: make flame": "the same",
    "docs/project/measurements.md: make bench-peers": "takes minutes and two quiet cores",
    "README.md: make run": "tests/cli/test_demo.py plays it",
    "README.md: uvx": "asks the registry; tests/packages installs the wheel",
    "docs/start/install.md: uvx": "the same",
    "docs/start/install.md: pip": "the same",
    "docs/start/install.md: mkdir": "writes into the reader's home; tests/cli runs the scripts",
    "docs/guides/from-litellm.md: llmproxy import": "reads a file of the reader",
    "docs/guides/from-litellm.md: LITELLM_PYTHON": "needs LiteLLM; tests/tools compares with it",
    "docs/guides/from-others.md: llmproxy import": "the same",
    "docs/operations/doctor.md: llmproxy doctor": "warns, with status 1; tests/tools/doctor",
    "docs/guides/asgi.md: LLMPROXY_CONFIG=/etc/llmproxy.yaml uvicorn": "tests/asgi runs uvicorn",
    "docs/guides/claude-code.md: export": "needs Claude Code and its account",
    "docs/start/clients.md: export ANTHROPIC": "the same",
    "docs/guides/open-webui.md: docker": "needs a container engine",
    "docs/guides/simulation.md: cat >": "takes minutes; tests/tools/simulate has its figures",
    "docs/guides/simulation.md: llmproxy simulate llmproxy.yaml --calls": "reads a day's log",
    "docs/guides/simulation.md: { echo": "takes minutes",
    "docs/guides/spend.md: HYPOTHESIS_PROFILE": "it is a test itself",
    "docs/operations/containers.md: docker": "needs a container engine; tests/deploy replays it",
    "docs/operations/containers.md: cd": "needs a container engine",
    "docs/operations/kubernetes.md: kubectl": "needs a cluster; tests/deploy renders the manifests",
    "docs/guides/from-litellm.md: pg_dump": "needs LiteLLM's database; tests/tools reads a dump",
    "docs/operations/database.md: createdb": "needs PostgreSQL's clients; tests/store restores",
    "docs/operations/systemd.md: sudo": "changes the machine; tests/deploy checks the unit",
    "docs/security/hardening.md: for path": "asks a host of the reader",
    "docs/security/identity.md: TOKEN": "needs an issuer; tests/oidc plays one",
    "docs/start/five-minutes.md: llmproxy serve": "does not end; tests/cli starts it",
}
# Keys of YAML that is not a config: of Prometheus, a model for `simulate`, Kubernetes.
FILES_OF_OTHERS = {"scrape_configs", "latency_s", "endpoints", "livenessProbe", "readinessProbe"}
# What a page takes for granted.
BEFORE = {
    "docs/guides/forty-teams.md": "printf 'ads 500\\nmaps 300\\n' > teams.txt",
}
ACCESS_LOG = '{"status": 200, "endpoint": "openai", "attempts": 1, "overhead_ms": 0.2, "id": "a"}\n'
SHELL = blocks("sh")
TESTED_ELSEWHERE = ("", "text", "console", "nginx", "sql", "py", "promql", "caddyfile")
# tests/deploy/test_fronts.py
TESTED_ELSEWHERE += ("caddyfile",)


def excuse(block):
    """Why a block is not run, or None."""
    return next((EXCUSED[start] for start in EXCUSED if starts(block, start)), None)


def starts(block, start):
    page, _, text = start.partition(": ")
    return block.page == page and block.text.startswith(text)


# What a block may begin its lines with to be run: it changes nothing but its own folder.
HARMLESS = {
    *("llmproxy", "curl", "jq", "printf", "echo", "export", "while", "do", "done", "for"),
    *("key=sk-$(openssl", "printf"),
}
RUN = [block for block in SHELL if excuse(block) is None]


def commands_of(block):
    """The first word of each line that goes on no other one."""
    lines = block.text.replace("\\\n", "").splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_that_is_run_is_harmless(block):
    assert commands_of(block) <= HARMLESS, "Give the block a reason in EXCUSED, or add the command."


@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_the_commands_of_a_page_work_one_after_the_other(page, tmp_path):
    # the simulated vendor, and a proxy with a database and an admin's key in front of it
    simulated = serve(VendorSettings(name="vendor"))
    settings = {"admin_key": ADMIN, "database_url": str(tmp_path / "calls.sqlite")}

    def proxy_of(vendor):
        config = GROUP % vendor.base_url + yaml.safe_dump({"general_settings": settings})
        return serve_proxy(config)

    with in_background(lambda: simulated, proxy_of) as (vendor, proxy):
        general = settings | {"bind_port": proxy.port}
        text = GROUP % vendor.base_url + yaml.safe_dump({"general_settings": general})
        (tmp_path / "llmproxy.yaml").write_text(text)
        (tmp_path / "access.log").write_text(ACCESS_LOG)
        for script in filter(None, [BEFORE.get(page), *texts_of(page)]):
            done = run(script.replace(ADDRESS, proxy.root), tmp_path)
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            assert '"error"' not in done.stdout, done.stdout


def texts_of(page):
    return [block.text for block in RUN if block.page == page and commands_of(block) <= HARMLESS]


def run(script, folder):
    """Run a block as somebody would who pasted it, with curl failing on a status of 400 or more."""
    names = {"ADMIN_KEY": ADMIN, "LLMPROXY_ADMIN_KEY": ADMIN, "KEY": "any"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", f'curl() {{ command curl -sS --fail-with-body "$@"; }}\n{admin(script)}'],
        cwd=folder,
        env={**os.environ, **names, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def admin(script):
    """Curl of `/admin` from this machine needs no key on the pages, whose proxy has none."""
    key = f"-H 'authorization: Bearer {ADMIN}'"
    return re.sub(r"curl (-X POST http\S+/admin)", rf"curl {key} \1", script)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_block_can_be_read_by_the_shell(block):
    done = subprocess.run(
        ["sh", "-n"], input=block.text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_excuse_outlives_its_block():
    assert [start for start in EXCUSED if not any(starts(block, start) for block in SHELL)] == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_a_config_or_a_file_of_another_program(block):
    parsed = yaml.safe_load(block.text)
    if set(parsed) & {"model_groups", "general_settings"}:
        whole = block.text if "model_groups" in parsed else GROUP % "https://x.test/v1" + block.text
        needed = re.findall(r"os\.environ/(\w+)|\$\{(\w+)\}", whole)
        environ = {a or b: value_of(a or b) for a, b in needed}
        assert endpoints_of(parse_config(whole, environ, file=block.page))
    else:
        assert set(parsed) <= FILES_OF_OTHERS, block


def value_of(name):
    """A value of the kind that a variable's name promises."""
    if "REDIS" in name and "URL" in name:
        return "rediss://127.0.0.1:6379"
    if "SHA256" in name:
        return "0" * 64
    return "https://hooks.example.com/x" if "WEBHOOK" in name else f"made-up-{name}"


@pytest.mark.parametrize("block", blocks("json", "toml", "ini", "python", "js"), ids=str)
def test_a_block_can_be_read_by_its_language(block, tmp_path):
    match block.language:
        case "json":
            assert json.loads(block.text)
        case "toml":
            assert tomllib.loads(block.text)
        case "ini":
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            parser.read_string(block.text)
            assert parser.sections()
        case "python":
            assert compile(block.text, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        case "js":
            module = tmp_path / "snippet.mjs"
            module.write_text(block.text)
            subprocess.run(["node", "--check", module], check=True)


def test_every_language_of_a_block_has_a_check():
    checked = {"sh", "yaml", "json", "toml", "ini", "python", "js"}
    assert {block.language for block in blocks()} - checked <= set(TESTED_ELSEWHERE)

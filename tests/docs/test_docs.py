"""What the pages say of the program is so."""

import re
from pathlib import Path
from textwrap import indent

import pytest

from llmproxy.cli import main, parser
from llmproxy.config import Timeouts
from llmproxy.rules.headers import ACCOUNT, CREDENTIALS, HOP_BY_HOP
from tests.docs.pages import (
    INLINE,
    NAMES,
    ROOT,
    anchors_of,
    blocks,
    inline_code_of,
    links_of,
    table_under,
    text_of,
)

LIFE = "docs/concepts/life-of-a-call.md"
CONFIGS = [block for block in blocks("yaml") if "model_groups:" in block.text]


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name):
    for link in links_of(name):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target.relative_to(ROOT)), link


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_is_there(name):
    for code in inline_code_of(name):
        if re.fullmatch(r"(llmproxy|tests|docs|bench|tools|requirements)/[\w./-]*", code):
            assert (ROOT / code).exists(), code


FILES = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("[!.]*/**/*.py")]


@pytest.mark.parametrize("name", NAMES)
def test_every_python_file_in_backticks_exists(name):
    for code in inline_code_of(name):
        if re.fullmatch(r"[\w./-]+\.py", code):
            assert any(f"/{file}".endswith(f"/{code}") for file in FILES), code


def test_the_readme_shows_a_config():
    assert any(config.page == "README.md" for config in CONFIGS)


ON_ONE = ("create", "change", "list", "show", "block", "unblock", "delete")
# Commands that have commands of their own.
ACTIONS = {"cache": ("stats", "purge"), "keys": (*ON_ONE, "rotate"), "teams": ON_ONE}


def command_lines():
    """Every `llmproxy COMMAND --options` of the pages, each once."""
    found, every = set(), blocks()
    for name in NAMES:
        lines = [line for block in every if block.page == name for line in block.text.split("\n")]
        for line in [*inline_code_of(name), *lines]:
            for command, rest in re.findall(r"(?:^|[\s/=])llmproxy ([a-z]+)\b([^#]*)", line):
                action = [
                    action for action in ACTIONS.get(command, ()) if rest.split()[:1] == [action]
                ]
                found.add((name, " ".join([command, *action]), *re.findall(r"--[a-z-]+", rest)))
    return sorted(found)


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_every_command_line_that_is_named_exists(line, capsys):
    _, command, *options = line
    assert main([*command.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    for option in options:
        assert option in printed


def test_every_command_is_documented():
    named = {command.split()[0] for _, command, *_ in command_lines()}
    assert named - {"help", "version"} == set(parser().commands())


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_that_is_named_exists(name):
    targets = set(re.findall(r"^(\w+):", text_of("Makefile"), re.M))
    named = re.findall(r"`make (\w+)`|^(?:\$ )?make (\w+)", text_of(name), re.M)
    assert {first or second for first, second in named} <= targets


def test_every_field_of_the_log_is_documented_and_nothing_else():
    rows = table_under(LIFE, "## The log")
    assert {field for row in rows for field in INLINE.findall(row[0])} == {
        *("time", "id", "request", "group", "endpoint", "status", "attempts"),
        *("first_byte_ms", "total_ms", "overhead_ms"),
        *("input_tokens", "output_tokens", "cached_tokens"),
        *("client", "caller", "team", "tags", "key", "end_user", "cache", "error", "steps"),
        *("cost_usd", "cost_basis"),
    }


def test_every_header_of_ours_in_the_program_is_on_the_page_of_headers():
    program = "".join(path.read_text("utf-8") for path in (ROOT / "llmproxy").rglob("*.py"))
    named = set(re.findall(r"x-llmproxy-[a-z-]*[a-z]", program))
    to_webhooks = {"x-llmproxy-signature"}
    assert named - to_webhooks == set(
        re.findall(r"x-llmproxy-[a-z-]*[a-z]", text_of("docs/reference/headers.md"))
    )


def test_every_timeout_is_documented_with_its_default():
    rows = table_under(LIFE, "## Timeouts")
    documented = {key: row[2] for row in rows for key in INLINE.findall(row[1])}
    for name, field in Timeouts.model_fields.items():
        default = None if documented[name] == "none" else float(documented[name])
        assert default == field.default


def test_the_headers_that_do_not_pass_are_named():
    named = set(inline_code_of(LIFE))
    assert {name.decode() for name in HOP_BY_HOP | CREDENTIALS | ACCOUNT} <= named


def test_the_index_of_decisions_is_complete():
    folder = ROOT / "docs/decisions"
    written = {path.name for path in folder.glob("0*.md")}
    listed = set(links_of("docs/decisions/README.md"))
    assert written == listed
    for name in written:
        title = (folder / name).read_text(encoding="utf-8").splitlines()[0]
        number, _, subject = title.removeprefix("# ").partition(": ")
        assert Path(name).name.startswith(number)
        assert subject.partition(",")[0] in text_of("docs/decisions/README.md")


def test_the_story_on_the_page_is_the_one_in_the_code():
    parts = [block.text for block in blocks("python") if block.page == LIFE]
    assert len(parts) == 2
    for part in parts:
        assert indent(part, "    ") in text_of("llmproxy/gateway.py")

"""A problem is shown with its line of the file and a caret; no secret is."""

import pytest

from llmproxy.batteries.config_file import parse_config, with_excerpts
from llmproxy.errors import ConfigError, Problem
from tests.config_file.mistakes import entry, settings

SECRET = "sk-live-0123456789abcdef"


def shown(tmp_path, text, environ=None):
    """What a terminal shows of a wrong config, without the messages themselves."""
    file = tmp_path / "f.yaml"
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError) as raised:
        parse_config(text, environ or {}, file=str(file))
    told = with_excerpts(raised.value.problems, colour=False)
    return [line for line in told.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            entry("model: m", "wieght: 2  # two"),
            ["  5 |         wieght: 2", "    |         ^^^^^^"],
        ),
        (
            entry('{weight: "two", model: m}'),
            ['  4 |       - {weight: "two", model: m}', "    |                  ^^^^^"],
        ),
        (
            "model_groups:\n\t- model_group: x\n",
            ["  2 |     - model_group: x", "    | ^^^^"],
        ),
        (
            entry('{name: "名前です", wieght: 2}'),
            [
                '  4 |       - {name: "名前です", wieght: 2}',
                "    |" + 28 * " " + "^^^^^^",
            ],
        ),
        (
            entry('{name: "e\u0301", wieght: 2}'),
            ['  4 |       - {name: "e\u0301", wieght: 2}', "    |                     ^^^^^^"],
        ),
        (
            entry("weight:", "    -1"),
            ["  5 |             -1", "    |             ^^"],
        ),
        (
            entry("weight: 'two", "  or three'"),
            ["  4 |       - weight: 'two", "    |                 ^^^^"],
        ),
        (
            "name: 'never\nb: 1\n",
            ["  1 | name: 'never", "    |       ^"],
        ),
        (
            settings("cooldown_time:"),
            ["  6 |   cooldown_time:", "    |                 ^"],
        ),
    ],
)
def test_the_caret_is_under_the_place(tmp_path, text, lines):
    got = shown(tmp_path, text)

    assert any(got[i : i + 2] == lines for i in range(len(got))), got


@pytest.mark.parametrize(
    "text",
    [
        entry("model: m", f"params: {{api_key: {SECRET}, wieght: 2}}"),
        entry("model: m", "params:", f"  api_key: {SECRET}", f"  api_key: {SECRET}2"),
        entry("model: m", "params:", f"  api_kee: {SECRET}"),
        entry("model: m", f"api_key: {SECRET}"),
        entry("model: m", f"wieght: 2  # instead of {SECRET}"),
        entry("model: m", f"wieght: 2\t# instead of {SECRET}"),
        entry("model: m", f"params: {{api_key: '${{KEY:-{SECRET}}}', wieght: 2}}"),
        entry("model: m", f"params: {{base_url: 'https://u:{SECRET}@h/v1', wieght: 2}}"),
        entry("model: m", f"params: {{base_url: 'https://h/v1?key={SECRET}', wieght: 2}}"),
        entry("model: m", f"params: {{default_headers: {{x: {SECRET}}}, wieght: 2}}"),
        entry("model: m", f"params: {SECRET}"),
        entry("model: m", "params:", "  default_headers:", "    x: |", f"      é {SECRET}"),
        settings(f"callers: [{SECRET}]"),
        settings(f"callers: [{{name: a, key: {SECRET}, wieght: 2}}]"),
        settings(f"redis_url: 'redis://:{SECRET}@h:x'"),
        settings(f"{{admin_key: {SECRET}"),
        settings(f"admin_key: '{SECRET}"),
        settings("admin_key: |", f"    {SECRET}", "\tx"),
        settings("admin_key:", f"    {SECRET}", "\tx"),
        settings(f"admin_kee: '{SECRET}"),
        settings(f"alerts: [{{url: {SECRET}]"),
        entry("model: m", f"params: {{base_url: h, api_key: {SECRET}"),
        entry("model: m", "params:", "  default_headers:", f"    x: '{SECRET}"),
        f"{SECRET}\n",
        f"a: 'b\n{SECRET}\n",
        f"'{SECRET}\n",
        f"@{SECRET}\n",
        f"a: @{SECRET}\n",
    ],
)
def test_no_line_shows_a_secret(tmp_path, text):
    assert SECRET not in "\n".join(shown(tmp_path, text))


def test_a_reference_is_shown_as_it_is_written(tmp_path):
    got = shown(tmp_path, entry("model: m", "params: {api_key: os.environ/NOT_SET}"))

    assert got == [
        "  5 |         params: {api_key: os.environ/NOT_SET}",
        "    |                           ^^^^^^^^^^^^^^^^^^",
    ]


def test_a_long_line_is_cut_around_the_place(tmp_path):
    text = entry(f"{{name: {'n' * 90}, model: {'m' * 90}, wieght: 2, speaks: [{'chat, ' * 40}]}}")

    line, carets = shown(tmp_path, text)[-2:]

    assert line.startswith("  4 | …")
    assert line.endswith("…")
    assert len(line) < 120
    assert line[carets.index("^") :].startswith("wieght")


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    assert "\x1b" not in "\n".join(shown(tmp_path, 'a: "\x1b[31m\nb: 1\n'))


def test_colour_is_only_added_to_what_is_shown_without_it(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("weight: 2\n")
    problem = Problem(str(file), 1, "found a problem.", "Solve it.", columns=(1, 6))

    plain = with_excerpts([problem], colour=False)
    coloured = with_excerpts([problem], colour=True)

    assert "\033" not in plain
    for code in ("\033[1m", "\033[1;31m", "\033[1;34m", "\033[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_a_file_that_is_gone_leaves_its_message():
    problem = Problem("/not/there.yaml", 3, "found a problem.", "Solve it.", columns=(1, 6))

    assert with_excerpts([problem], colour=False) == str(problem)

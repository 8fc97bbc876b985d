"""What doctor prints, and its exit status."""

import json

import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.providers import endpoints_of
from llmproxy.tools.doctor.examination import endpoints_to_examine
from llmproxy.tools.doctor.findings import found
from llmproxy.tools.doctor.report import as_json, as_text, exit_status, sorted_findings
from tests.tools.doctor.live import config_of, entry

NOTE = found("slow_python", "python", version="3.11.1", more="a lot")
WARNING = found("one_endpoint", "m")
FAULT = found("port_refused", "m/a", address="h:1")


def shown(*findings, colour=False):
    return as_text(findings, [], ["a note."], width=70, colour=colour)


def test_the_status_follows_from_the_worst():
    assert exit_status([]) == 0
    assert exit_status([NOTE]) == 0
    assert exit_status([NOTE, WARNING]) == 1
    assert exit_status([WARNING, FAULT, NOTE]) == 2


def test_the_worst_comes_first():
    assert sorted_findings([NOTE, WARNING, FAULT]) == [FAULT, WARNING, NOTE]


def test_each_finding_has_its_code_cause_and_remedy():
    text = shown(FAULT, WARNING)

    assert "✖ fault  m/a  (port_refused)" in text
    assert "    h:1 refuses connections: nothing listens there." in text
    assert "    -> Start the server, or correct host and port of base_url." in text
    assert text.startswith("a note.\n")
    assert text.endswith("1 fault, 1 warning.")
    assert max(map(len, text.splitlines())) <= 70


def test_equal_findings_are_told_once_with_all_their_subjects():
    text = shown(WARNING, found("one_endpoint", "n"))

    assert text.count("while it fails") == 1
    assert "▲ warning  m, n  (one_endpoint)" in text
    assert text.endswith("2 warnings.")


def test_nothing_is_told_in_words():
    assert shown().endswith("Nothing is wrong.")


def test_colour_is_only_for_the_mark():
    assert "\033[31m✖ fault\033[0m  m/a" in shown(FAULT, colour=True)
    assert "\033" not in shown(FAULT)


def test_json_has_every_finding_alone():
    report = json.loads(as_json([FAULT, NOTE], [], []))

    assert report["status"] == 2
    assert [finding["code"] for finding in report["findings"]] == ["port_refused", "slow_python"]
    assert report["findings"][0] == {
        "code": "port_refused",
        "severity": "fault",
        "subject": "m/a",
        "cause": "h:1 refuses connections: nothing listens there.",
        "remedy": "Start the server, or correct host and port of base_url.",
    }


def test_what_a_vendor_says_cannot_move_the_cursor_or_fill_the_screen():
    finding = found("call_failed", "m/a", why="\x1b[2J a\nb " + "x" * 5000)

    assert finding.cause.isprintable()
    (shown,) = sorted_findings([finding])
    assert len(shown.cause) < 420
    assert "a b" in finding.cause


def lines_of(width, names):
    """The report on a terminal of some columns, about endpoints of these names."""
    text = yaml.safe_dump(config_of(*(entry(name, 1) for name in names)))
    config = parse_config(text, {}, file="x")
    endpoints = endpoints_to_examine(config, endpoints_of(config))
    findings = [found("port_refused", endpoint.subject, address="h:1") for endpoint in endpoints]
    note = found("slow_python", "/opt/python", version="3.11.1", more="a lot")
    report = as_text(
        [*findings, note], endpoints, ["a note."], width=width, table_width=width, colour=False
    )
    return report.splitlines()


def test_a_narrow_terminal_gets_no_line_that_is_wider():
    lines = lines_of(40, ["azure-east-1234", "b"])

    assert max(map(len, lines)) <= 40
    assert "gpt-4.1/azure-east-1234" in lines
    assert "connect -, first byte -, stream -" in " ".join(" ".join(lines).split())


def test_a_wide_terminal_gets_a_table():
    assert lines_of(110, ["azure-east"])[0].split()[:2] == ["endpoint", "address"]


def test_an_option_that_is_to_be_copied_is_not_broken():
    assert "--enable-optimizations," in " ".join(lines_of(24, ["a"])).split()

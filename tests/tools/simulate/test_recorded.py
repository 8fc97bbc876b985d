"""Reading recorded calls, and the messages for lines that cannot be parsed."""

import pytest

from llmproxy.errors import ConfigError
from llmproxy.routing import Group, Pool
from llmproxy.routing.token_estimates import OutputBounds
from llmproxy.tools.simulate.recorded import read_calls

HEAD = "at_s,model_group,input_tokens,output_tokens\n"


def read(tmp_path, text, *, groups=("g",), tokens=(10, 20)):
    file = tmp_path / "calls"
    file.write_text(text)
    return read_calls(file, names(groups), tokens)


def names(groups):
    return Pool({name: Group(name, OutputBounds()) for name in groups})


def problems(tmp_path, text, **options):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **options)
    return [(problem.line, problem.found) for problem in caught.value.problems]


def test_csv_is_read_by_the_names_of_its_columns(tmp_path):
    traffic = read(tmp_path, HEAD + "7.5, g, 100, 5\n5, g, 200, 6\n")

    assert [(call.at_s, call.input_tokens, call.output_tokens) for call in traffic.arrivals] == [
        (0.0, 200, 6),
        (2.5, 100, 5),
    ], "sorted, and relative to the first call"
    assert traffic.seconds == 2.5


def test_json_lines_are_read_and_may_bound_their_output(tmp_path):
    line = '{"at_s": 1, "model_group": "g", "input_tokens": 3, "output_tokens": 4'
    traffic = read(tmp_path, line + "}\n\n" + line + ', "max_output_tokens": 50}\n')

    assert [call.bound_tokens for call in traffic.arrivals] == [7, 53]


def test_the_access_log_is_read_unchanged(tmp_path):
    log = (
        '{"time":"2026-11-23T06:57:30.000Z","id":"a","request":"POST /v1/chat/completions",'
        '"group":"g","status":200,"total_ms":4000.0,"input_tokens":5,"output_tokens":6}\n'
        '{"time":"2026-11-23T06:57:27.500Z","id":"b","group":"g","total_ms":500.0}\n'
        '{"time":"2026-11-23T06:57:28.000Z","id":null,"group":null,"total_ms":1.0}\n'
    )
    traffic = read(tmp_path, log)

    assert [(call.at_s, call.input_tokens) for call in traffic.arrivals] == [(0.0, 5), (1.0, 10)]
    assert traffic.notes == (
        "Lines without a model group, which were skipped: 1.",
        "Calls without token counts: 1. Assumed 10 input and 20 output tokens (--tokens).",
    )


def test_every_wrong_line_is_reported(tmp_path):
    text = HEAD + "1,g,1,1\nsoon,g,1,1\n2,other,1,1\n,g,1,1\n3,g,-5,1\n"

    found = problems(tmp_path, text)

    assert [line for line, _ in found] == [3, 4, 5, 6]
    assert found[1][1] == "unknown model group 'other'."
    assert read(tmp_path, HEAD + "2,other,1,1\n", groups=("g", "*")).arrivals
    assert read(tmp_path, HEAD + "2,other,1,1\n", groups=("g", "o*")).arrivals


def test_a_broken_line_of_json_is_reported(tmp_path):
    found = problems(tmp_path, '{"at_s": 1, "group": "g"}\n{"at_s": 1, "gro\n')

    assert [line for line, _ in found] == [2]


def test_a_file_without_calls_is_an_error(tmp_path):
    assert problems(tmp_path, "hello\nworld\n") == [
        (1, "the header row lacks at_s and model_group.")
    ]
    assert problems(tmp_path, "") == [(1, "the header row lacks at_s and model_group.")]
    assert problems(tmp_path, HEAD) == [(0, "the file contains no calls.")]
    assert len(problems(tmp_path, HEAD + "x,g,1,1\n" * 500)) == 20, "the number is bounded"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_calls(tmp_path / "missing", names("g"), (1, 1))

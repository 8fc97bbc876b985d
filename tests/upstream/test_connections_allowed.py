"""How many connections one origin may have follows from the files that the process may open."""

import json
import subprocess
import sys

import pytest

PROGRAM = """\
import json
from llmproxy.process import raise_open_files
from llmproxy.upstream.client import connections_allowed
before = connections_allowed()
print(json.dumps([before, raise_open_files(), connections_allowed()]))
"""


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("ulimit -Sn 200; ulimit -Hn 900", [100, 900, 450]),
        ("ulimit -n 700", [350, 700, 350]),
    ],
)
def test_one_origin_gets_half_of_the_files_which_a_start_raises_to_the_hard_limit(limits, expected):
    command = ["bash", "-c", f'{limits}; exec "$@"', "bash", sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == expected

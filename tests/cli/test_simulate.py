"""`llmproxy simulate` tries a config without keys, servers or real time."""

import json
import re

from tests.support.process import LLMPROXY, command
from tests.support.run import bounded
from tests.tools.top.terminal import Terminal

CONFIG = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - {model: gpt-4.1, name: cheap, limits: {rpm: 600}, price: {input: 2, output: 8},
         params: {api_key: os.environ/NOBODY_HAS_SET_THIS}}
      - {model: gpt-4.1, name: dear, tier: 1, price: {input: 10, output: 30},
         params: {api_key: "${NOR_THIS}"}}
"""


async def simulate(folder, *arguments, program=None):
    (folder / "config.yaml").write_text(CONFIG)
    return await command("simulate", "config.yaml", *arguments, cwd=folder, program=program)


@bounded()
async def test_a_rate_is_simulated_and_drawn_without_any_key(tmp_path):
    said = await simulate(tmp_path, "--rate", "9x60,14x60", "--plot", "run.svg")

    assert (said.status, said.stderr) == (0, "")
    assert "gpt-4.1/cheap" in said.stdout
    assert "0 errors with 429, 0 with 5xx" in said.stdout
    assert (tmp_path / "run.svg").read_text().startswith("<svg")


@bounded()
async def test_json_and_a_seed_give_the_same_bytes_again(tmp_path):
    arguments = ("--rate", "9", "--seconds", "60", "--json", "--seed", "5", "--tokens", "10:1")
    first = await simulate(tmp_path, *arguments)
    second = await simulate(tmp_path, *arguments, program=LLMPROXY)  # its hashes are others

    assert first.stdout == second.stdout
    report = json.loads(first.stdout)
    assert report["calls"] == report["served"] > 400
    assert report["endpoints"][0]["input_tokens"] == 10 * report["endpoints"][0]["served"]


@bounded()
async def test_recorded_calls_and_a_model_of_the_endpoints_are_read(tmp_path):
    rows = "".join(f"{i},gpt-4.1,100,10\n" for i in range(60))
    (tmp_path / "calls.csv").write_text("at_s,model_group,input_tokens,output_tokens\n" + rows)
    (tmp_path / "model.yaml").write_text("endpoints: {cheap: {outages: [{from_s: 0, to_s: 900}]}}")

    said = await simulate(tmp_path, "--calls", "calls.csv", "--model", "model.yaml", "--json")

    cheap, dear = json.loads(said.stdout)["endpoints"]
    assert (cheap["served"], dear["served"]) == (0, 60)


@bounded()
async def test_mistakes_in_the_files_are_reported_with_their_lines_and_status_2(tmp_path):
    (tmp_path / "calls.csv").write_text("at_s,model_group\n1,gpt-5\n")
    (tmp_path / "model.yaml").write_text("endpoints:\n  chaep: {}\n")

    calls = await simulate(tmp_path, "--calls", "calls.csv")
    model = await simulate(tmp_path, "--rate", "1", "--model", "model.yaml")
    group = await simulate(tmp_path, "--rate", "1", "--group", "gpt-5")

    assert [said.status for said in (calls, model, group)] == [2, 2, 2]
    assert "calls.csv:2: unknown model group 'gpt-5'." in calls.stderr
    assert "model.yaml:2: unknown endpoint 'chaep'." in model.stderr
    assert "unknown model group 'gpt-5'" in group.stderr


@bounded()
async def test_wrong_options_are_refused_in_plain_words(tmp_path):
    for wrong in (("--rate", "-3"), ("--rate", "5x"), ("--rate", "1", "--tokens", "5")):
        said = await simulate(tmp_path, *wrong)
        assert said.status == 2
        assert "expected" in said.stderr
    assert "is required" in (await simulate(tmp_path)).stderr


NAMED = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - {model: gpt-4.1, name: plain, params: {api_key: k}}
      - {model: o3, name: reasons, drop_unsupported: true, params: {api_key: k}}
  - {model_group: other, models: [{model: m, name: others, params: {api_key: k}}]}
general_settings:
  callers:
    - {name: team-a, key: sk-0123456789abcdef, groups: [gpt-4.1], aliases: {mine: gpt-4.1}}
"""


@bounded()
async def test_a_callers_calls_use_its_aliases_and_its_groups(tmp_path):
    (tmp_path / "named.yaml").write_text(NAMED)
    (tmp_path / "calls.csv").write_text("at_s,model_group\n1,mine\n2,gpt-4.1\n")
    (tmp_path / "others.csv").write_text("at_s,model_group\n1,mine\n2,other\n")

    async def simulated(*arguments):
        return await command("simulate", "named.yaml", *arguments, cwd=tmp_path)

    mine = ("--caller", "team-a", "--json")
    recorded = await simulated("--calls", "calls.csv", *mine)
    named = await simulated("--rate", "1", "--group", "mine", *mine)
    all_groups = await simulated("--rate", "1", *mine)
    without = await simulated("--calls", "calls.csv")
    others = await simulated("--calls", "others.csv", "--caller", "team-a")
    unknown = await simulated("--rate", "1", "--caller", "team-b")

    assert json.loads(recorded.stdout)["served"] == 2
    assert json.loads(named.stdout)["served"] > 0
    assert json.loads(all_groups.stdout)["endpoints"][2]["served"] == 0
    assert "unknown model group 'mine'" in without.stderr
    assert "unknown model group 'other'. Use one of: gpt-4.1, mine." in others.stderr
    assert "--caller: There is no caller 'team-b'. There are: team-a." in unknown.stderr
    assert unknown.status == 2


@bounded()
async def test_the_changes_of_parameters_are_listed(tmp_path):
    (tmp_path / "named.yaml").write_text(NAMED)
    said = await command("simulate", "named.yaml", "--rate", "1", cwd=tmp_path)
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("changed for")]
    assert line.startswith("changed for gpt-4.1/reasons: renames max_tokens to max_completion_tok")


def test_a_terminal_sees_how_far_the_simulation_is(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    arguments = (str(tmp_path / "config.yaml"), "--rate", "15", "--seconds", "4000")

    with Terminal("simulate", *arguments) as terminal:
        assert terminal.ended() == 0

    assert re.search(
        r"Simulating  \[[#.]{20}\] +\d+%  [\d,]+ of [\d,]+  \d+ s left", terminal.written
    )
    assert "\r\x1b[K" in terminal.written

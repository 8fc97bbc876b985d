"""`llmproxy explain`: where a call would go, from the running proxy or from the config alone."""

import pytest
import yaml

from tests.admin.watching import post
from tests.support.groups import endpoint
from tests.support.process import command
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.valkey import free_port
from tests.support.vendor import GOOD, scripted


def written(folder, config, port):
    config["general_settings"]["bind_port"] = port
    file = folder / "llmproxy.yaml"
    file.write_text(yaml.safe_dump(config))
    return str(file)


def two_tiers(cheap, dear):
    return config_for(endpoint(cheap, "cheap"), endpoint(dear, "dear", tier=1))


@bounded()
async def test_the_running_proxy_explains_and_nothing_is_sent(tmp_path):
    async with scripted(GOOD) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear)
        config["model_groups"][0]["models"][0]["price"] = {"input": 2, "output": 8}
        async with serve_proxy(config) as proxy:
            file = written(tmp_path, config, proxy.port)
            asked = ("explain", file, "--model", "gpt-4.1", "--tokens", "1200")
            before = await command(*asked)
            await post(proxy, "/admin/drain", {"endpoint": "cheap"})
            after = await command(*asked)
            unknown = await command("explain", file, "--model", "no-such")
    assert (before.status, before.stderr) == (0, "")
    assert before.stdout.splitlines() == [
        "gpt-4.1, 1,200 tokens: would go to cheap",
        "  tier 0",
        "    cheap  takes 100% of the tier's calls",
        "           costs $0.0024 (all input) to $0.0096 (all output)",  # 1,200 * 2, and * 8
        "  tier 1",
        "    dear   takes 100% of the tier's calls",
        "           costs are not known: it has no price",
        f"according to the proxy at {proxy.root}",
    ]
    assert "would go to dear" in after.stdout
    assert "cheap  no: drained by the operator" in after.stdout
    assert unknown.status == 1
    assert "'no-such' is in no group. There are: gpt-4.1." in unknown.stderr
    assert not cheap.received
    assert not dear.received


@bounded()
async def test_without_a_running_proxy_the_config_explains(tmp_path):
    async with scripted(GOOD) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear)
        config["model_groups"][0]["aliases"] = ["smart"]
        file = written(tmp_path, config, free_port())
        done = await command("explain", file, "--model", "gpt-4.1")
        alias = await command("explain", file, "--model", "smart")
        unknown = await command("explain", file, "--model", "no-such")
    assert alias.stdout.startswith("smart (group gpt-4.1): would go to cheap")
    assert done.status == 0
    assert done.stdout.startswith("gpt-4.1: would go to cheap\n")
    assert "for a proxy that has just started; none answers at http://127" in done.stdout
    assert unknown.status == 1
    assert "is in no group" in unknown.stderr


@bounded()
async def test_without_a_config_it_says_which_proxy_it_asked(tmp_path):
    said = await command("explain", "--model", "no-such-model", cwd=tmp_path)
    assert (said.status, said.stdout) == (1, "")
    assert "http://127.0.0.1:4000" in said.stderr, "where it asked; not that a file is missing"


@pytest.mark.parametrize("key", [None, "sk-admin-secret"])
@bounded()
async def test_the_key_comes_from_the_config_and_a_401_is_reported(tmp_path, key):
    async with scripted(GOOD) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear)
        config["general_settings"]["admin_key"] = "sk-admin-secret"
        async with serve_proxy(config) as proxy:
            if key is None:
                del config["general_settings"]["admin_key"]
            done = await command(
                "explain", written(tmp_path, config, proxy.port), "--model", "gpt-4.1"
            )
    assert done.status == (1 if key is None else 0)
    assert ("answered 401" in done.stderr) == (key is None)


@bounded()
async def test_only_the_address_that_was_given_is_asked(tmp_path):
    async with scripted(GOOD) as cheap, scripted(GOOD) as dear:
        file = written(tmp_path, two_tiers(cheap, dear), free_port())
        url = f"http://127.0.0.1:{free_port()}"
        done = await command("explain", file, "--model", "gpt-4.1", "--url", url)
    assert done.status == 1
    assert "Is it running?" in done.stderr


@bounded()
async def test_invalid_input_is_rejected(tmp_path):
    file = tmp_path / "llmproxy.yaml"
    file.write_text("nonsense: 1")
    assert (await command("explain", str(file), "--model", "x")).status == 2
    done = await command("explain", str(file), "--model", "x", "--tokens", "-5")
    assert "expected a number of tokens, found" in done.stderr


@bounded()
async def test_without_a_file_llmproxy_yaml_or_the_given_address_is_used(tmp_path):
    asked = ("explain", "--model", "gpt-4.1")
    nowhere = tmp_path / "empty"
    nowhere.mkdir()
    async with scripted(GOOD) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear)
        async with serve_proxy(config) as proxy:
            written(tmp_path, config, proxy.port)
            by_file = await command(*asked, cwd=tmp_path)
            by_url = await command(*asked, "--url", proxy.root, cwd=nowhere)
    assert by_file.stdout.startswith("gpt-4.1: would go to cheap\n")
    assert by_url.stdout == by_file.stdout


@bounded()
async def test_several_candidates_are_listed(tmp_path):
    async with scripted(GOOD) as one, scripted(GOOD) as two, scripted(GOOD) as three:
        config = config_for(endpoint(one, "one"), endpoint(two, "two"), endpoint(three, "three"))
        file = written(tmp_path, config, free_port())
        done = await command("explain", file, "--model", "gpt-4.1")
    assert done.stdout.startswith("gpt-4.1: would go to one, two or three\n")


CALLER = {
    "name": "team-a",
    "key": "sk-team-a-0123456789",
    "groups": ["gpt-4.1"],
    "aliases": {"mine": "gpt-4.1"},
}


@pytest.mark.parametrize("runs", [True, False])
@bounded()
async def test_a_callers_names_are_its_aliases_and_its_groups(tmp_path, runs):
    async with scripted(GOOD) as vendor:
        config = config_for(endpoint(vendor, "only"), callers=[CALLER])
        (group,) = config["model_groups"]
        config["model_groups"].append({**group, "model_group": "other"})
        async with serve_proxy(config) as proxy:
            file = written(tmp_path, config, proxy.port if runs else free_port())

            async def explained(model, *caller):
                return await command("explain", file, "--model", model, *caller)

            alias = await explained("mine", "--caller", "team-a")
            nobodys = await explained("mine")
            others = await explained("other", "--caller", "team-a")
            unknown = await explained("other", "--caller", "team-b")
    assert alias.stdout.startswith("mine (group gpt-4.1): would go to only")
    assert "'mine' is in no group. There are: gpt-4.1, other." in nobodys.stderr
    assert "'other' is in no group. There are: gpt-4.1, mine." in others.stderr
    assert "There is no caller 'team-b'." in unknown.stderr


@pytest.mark.parametrize("runs", [True, False])
@bounded()
async def test_the_changes_of_parameters_are_listed(tmp_path, runs):
    changes = {
        "rename": {"max_tokens": "max_completion_tokens"},
        "drop": ["top_p", "temperature"],
        "max_output_tokens": 4096,
        "overrides": {"store": False},
        "defaults": {"reasoning_effort": "low"},
    }
    async with scripted(GOOD) as vendor:
        config = config_for(endpoint(vendor, "plain"), endpoint(vendor, "edited", **changes))
        async with serve_proxy(config) as proxy:
            file = written(tmp_path, config, proxy.port if runs else free_port())
            done = await command("explain", file, "--model", "gpt-4.1")
    assert done.stdout.splitlines()[2:5] == [
        "    plain   takes 50% of the tier's calls",
        "    edited  takes 50% of the tier's calls",
        "            renames max_tokens to max_completion_tokens; drops temperature, top_p; lowers "
        "output bounds to 4096; sets store; adds reasoning_effort if absent",
    ]

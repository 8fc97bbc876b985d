"""An invalid config file is reported, and changes nothing else."""

import pytest

from llmproxy.errors import ConfigError
from tests.admin.watching import get_json, post
from tests.reload.reloading import chat, endpoint, one_group, reload, write
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted

WRONG = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - weight: many
general_settings:
  num_retry: 3
"""


@bounded()
async def test_every_problem_is_reported_and_the_last_good_config_is_served(tmp_path, caplog):
    path = tmp_path / "c.yaml"
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=path) as proxy:
            begun = (await get_json(proxy, "/admin/state"))["config"]
            write(proxy, WRONG)
            reply = await post(proxy, "/admin/reload", {})
            problems = reply.json["detail"].splitlines()
            assert reply.status == 422
            assert [problem.partition(": ")[0] for problem in problems] == [
                f"{path}:4",
                f"{path}:6",
            ]
            assert "num_retry" in problems[1]
            assert (await chat(proxy)).status == 200
            state = (await get_json(proxy, "/admin/state"))["config"]
            assert state["source"] == str(path)
            assert (state["error"], state["reloads"]) == (reply.json["detail"], 0)
            assert state["failed_reloads"] == 1
            assert state["loaded_at"] == begun["loaded_at"] <= state["error_at"]
            health = await get_json(proxy, "/health")
            assert (health["status"], health["config_error"]) == ("ok", state["error"])
            (record,) = [entry for entry in caplog.records if entry.levelname == "ERROR"]
            assert all(problem in record.getMessage() for problem in problems)

            changes = await reload(proxy, one_group(entry, num_retries=5))
            assert changes == ["general_settings.num_retries: 3 -> 5"]
            state = (await get_json(proxy, "/admin/state"))["config"]
            assert (state["error"], state["error_at"]) == (None, None)
            assert (state["reloads"], state["failed_reloads"]) == (1, 1)
            assert state["loaded_at"] > begun["loaded_at"]
            assert (await get_json(proxy, "/health"))["config_error"] is None


@bounded()
async def test_a_missing_file_is_reported_like_any_other_problem(tmp_path):
    path = tmp_path / "c.yaml"
    async with scripted(GOOD) as vendor:
        async with serve_proxy(one_group(endpoint(vendor, "only")), path=path) as proxy:
            path.unlink()
            reply = await post(proxy, "/admin/reload", {})
            assert reply.status == 422
            assert "this file does not exist" in reply.json["detail"]
            assert (await chat(proxy)).status == 200


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"provider": "nobody"}, "unknown provider 'nobody'"),
        ({"params": {"azure_endpoint": "https://east.openai.azure.com"}}, "without api_version"),
    ],
    ids=["provider", "azure"],
)
@bounded()
async def test_problems_that_show_only_in_the_endpoints_are_reported(tmp_path, wrong, found):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            write(proxy, one_group({**entry, **wrong}))
            reply = await post(proxy, "/admin/reload", {})
            assert (reply.status, found in reply.json["detail"]) == (422, True)
            assert (await chat(proxy)).status == 200


@bounded()
async def test_a_resource_that_cannot_be_opened_refuses_the_config(
    tmp_path,
):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            before = proxy.runtime
            params = {"type": "disk", "path": str(tmp_path / "nowhere" / "answers.sqlite3")}
            write(
                proxy,
                one_group(entry, cache=True, cache_params=params, timeouts={"connect_s": 1}),
            )
            reply = await post(proxy, "/admin/reload", {})
            assert (reply.status, "cache_params.path" in reply.json["detail"]) == (422, True)
            assert proxy.runtime is before
            assert len(proxy.reloader.shared.kinds) == 3
            assert (await chat(proxy)).status == 200


@bounded()
async def test_a_config_without_a_file_cannot_be_reloaded():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(one_group(endpoint(vendor, "only"))) as proxy:
            reply = await post(proxy, "/admin/reload", {})
            assert reply.status == 409
            assert "without a config file" in reply.json["detail"]
            assert (await get_json(proxy, "/admin/state"))["config"]["source"] is None


@bounded()
async def test_a_reload_lists_what_has_changed_and_what_needs_a_restart(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            write(proxy, one_group({**entry, "weight": 2}, bind_port=5000, drain_delay_s=0))
            for expected in (
                ["gpt-4.1/only: weight: 1 -> 2"],
                [],  # it is loaded; what needs a restart still needs one
            ):
                reply = await post(proxy, "/admin/reload", {})
                restart = "needs a restart: general_settings.bind_port: 4000 -> 5000"
                assert reply.json == {"reloaded": True, "changes": [*expected, restart]}
            assert proxy.reloader.loaded.reloads == 1
            assert proxy.runtime.config.general_settings.bind_port == 4000


@bounded()
async def test_variables_are_looked_up_again_in_the_environment_of_the_process(tmp_path):
    environ = {"KEY": "sk-before"}
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        entry["params"]["api_key"] = "os.environ/KEY"
        async with serve_proxy(one_group(entry), environ, path=tmp_path / "c.yaml") as proxy:
            environ["KEY"] = "sk-after"
            await proxy.reloader.reload()
            await chat(proxy)
            assert vendor.received[-1].header("authorization") == "Bearer sk-after"


@bounded()
async def test_a_config_that_needs_a_missing_battery_is_refused(tmp_path):
    async with scripted(GOOD) as vendor:
        entry, path = endpoint(vendor, "only"), tmp_path / "c.yaml"
        async with serve_proxy(one_group(entry), path=path, without=["callers"]) as proxy:
            callers = [{"name": "team", "key": "sk-caller-0123456789abcdef"}]
            with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.callers`"):
                await reload(proxy, one_group(entry, callers=callers))
            assert not proxy.runtime.config.general_settings.callers

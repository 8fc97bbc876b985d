"""The simulator as a process, and the demo's fleet."""

import asyncio
import json
import signal
import sys
import urllib.request

import openai
import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.tools.simulator.demo import FAILS_EVERY, demo_fleet
from tests.support.run import bounded
from tests.tools.simulator.wires import HELLO, azure_client, openai_client


@bounded()
async def test_a_process_prints_its_address_and_ends_with_a_signal():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmproxy.tools.simulator", "--name", "outside", "--rpm", "7"),
        *("--key", "sk-1", "--fault", "status:500;match=embeddings", "--dialect", "openai"),
        stdout=asyncio.subprocess.PIPE,
    )
    line = (await process.stdout.readline()).decode()
    name, _, url = line.strip().partition(" listens on ")
    assert name == "outside"
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-1", max_retries=0)
    answer = await client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
    assert answer.headers["x-ratelimit-limit-requests"] == "7"
    try:
        await client.embeddings.create(model="m", input="x")
    except openai.InternalServerError as error:
        assert error.status_code == 500
    await client.close()

    def read_state():
        with urllib.request.urlopen(f"{url}/_simulator/state") as answer:
            return json.load(answer)

    state = await asyncio.to_thread(read_state)
    assert state["requests"] == {"chat/completions": {"200": 1}, "embeddings": {"500": 1}}
    process.send_signal(signal.SIGTERM)
    rest, _ = await process.communicate()
    assert (process.returncode, rest) == (0, b"")


@bounded()
async def test_the_old_command_still_works_and_names_the_new_one():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmproxy.simulator", "--help"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, notice = await process.communicate()
    assert (process.returncode, out[:6]) == (0, b"usage:")
    assert b"python -m llmproxy.tools.simulator" in notice


@bounded()
async def test_the_demos_config_is_valid():
    async with demo_fleet() as fleet:
        config = parse_config(fleet.config_yaml, {}, file="demo")
    groups = {group.model_group: group for group in config.model_groups}
    assert {"gpt-4.1", "gpt-4.1-mini", "text-embedding-3-small", "*"} <= groups.keys()
    names = [model.name for model in groups["gpt-4.1"].models]
    assert names == ["demo-openai", "demo-azure", "demo-azure-v1"]


@bounded()
async def test_every_vendor_of_the_demo_answers_at_the_address_in_its_config():
    async with demo_fleet() as fleet:
        config = parse_config(fleet.config_yaml, {}, file="demo")
        for vendor in fleet.vendors.values():
            vendor.faults.clear()
        openai_params, classic, azure_v1 = [model.params for model in config.model_groups[0].models]
        texts = set()
        for params in (openai_params, azure_v1):
            async with openai_client(None, base_url=params.base_url) as client:
                answer = await client.chat.completions.create(model="gpt-4.1", messages=HELLO)
                texts.add(answer.choices[0].message.content)
        vendor = fleet.vendors["demo-azure"]
        assert classic.azure_endpoint.rstrip("/") == vendor.root
        async with azure_client(vendor) as client:
            answer = await client.chat.completions.create(model="gpt-4.1", messages=HELLO)
            texts.add(answer.choices[0].message.content)
    assert len(texts) == 1
    assert texts.pop().startswith("Hello! This is a simulated answer to “Hello, wörld!”")


@pytest.mark.parametrize("first", ["demo-openai", "demo-azure-v1"])
@bounded()
async def test_the_first_request_of_all_fails_at_whichever_vendor(first):
    async with demo_fleet() as fleet:
        urls = {
            "demo-openai": fleet.vendors["demo-openai"].base_url,
            "demo-azure-v1": fleet.vendors["demo-azure-v1"].azure_v1_url,
        }
        outcomes = []
        for name in (first, *(name for name in urls if name != first)):
            async with openai_client(fleet.vendors[name], base_url=urls[name]) as client:
                try:
                    await client.models.list()
                    outcomes.append("answered")
                except openai.InternalServerError as error:
                    outcomes.append(error.status_code)
    assert outcomes == [503, "answered"]


@bounded()
async def test_one_vendor_of_the_demo_fails_now_and_then():
    async with demo_fleet() as fleet:
        vendor = fleet.vendors["demo-azure-v1"]
        del vendor.faults[0]  # of the first request
        async with openai_client(vendor, base_url=vendor.azure_v1_url) as client:
            outcomes = await asyncio.gather(
                *(client.models.list() for _ in range(FAILS_EVERY * 2)), return_exceptions=True
            )
    failed = [item for item in outcomes if isinstance(item, openai.InternalServerError)]
    assert len(failed) == 2
    assert failed[0].code == "server_is_overloaded"

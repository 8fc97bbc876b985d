"""LiteLLM's own SDK as a client. Skipped where `litellm` is not installed: it is no dependency."""

import asyncio
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.litellm_habits.proxies import ADMIN_KEY, habitual
from tests.support.callers import KEY_A
from tests.support.run import bounded

# Another Python may have it: LITELLM_PYTHON=/path/to/python.
PYTHON = os.environ.get("LITELLM_PYTHON") or (sys.executable if find_spec("litellm") else None)
PROGRAM = Path(__file__).with_name("sdk_client.py")


@pytest.mark.skipif(PYTHON is None, reason="litellm is not installed; set LITELLM_PYTHON")
@bounded()
async def test_litellms_sdk_calls_knows_the_cost_and_manages_keys(tmp_path):
    database = str(tmp_path / "store.sqlite")
    async with habitual(cost_header=True, database_url=database) as (vendor, proxy):
        program = await asyncio.create_subprocess_exec(
            *(PYTHON, str(PROGRAM), proxy.root, KEY_A, ADMIN_KEY),
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await program.communicate()
        found = json.loads(printed.splitlines()[-1])
        assert (found["text"], found["chunks"]) == ("good", ["x"])
        assert found["cost"] == pytest.approx(3 * 0.4e-6 + 2 * 1.6e-6)
        assert "does not exist" in found["error"]
        assert (found["models"], found["deployment"]) == (["gpt", "other"], "gpt")
        assert found["groups"] == ["gpt", "other"]
        assert (found["key"], found["keys_left"]) == (["nightly", "search", ["gpt"]], [])
        assert found["teams"] == ["search"]
        assert json.loads(vendor.received[0].body).keys() == {"model", "messages"}

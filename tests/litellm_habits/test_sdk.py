"""LiteLLM's own SDK as a client. Skipped where `litellm` is not installed: it is no dependency."""

import asyncio
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.litellm_habits.proxies import habitual
from tests.support.callers import KEY_A
from tests.support.run import bounded

# Another Python may have it: LITELLM_PYTHON=/path/to/python.
PYTHON = os.environ.get("LITELLM_PYTHON") or (sys.executable if find_spec("litellm") else None)
PROGRAM = Path(__file__).with_name("sdk_client.py")


@pytest.mark.skipif(PYTHON is None, reason="litellm is not installed; set LITELLM_PYTHON")
@bounded()
async def test_litellms_sdk_calls_streams_and_knows_the_cost():
    async with habitual(cost_header=True) as (vendor, proxy):
        program = await asyncio.create_subprocess_exec(
            *(PYTHON, str(PROGRAM), proxy.root, KEY_A),
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await program.communicate()
        found = json.loads(printed.splitlines()[-1])
        assert (found["text"], found["chunks"]) == ("good", ["x"])
        assert found["cost"] == pytest.approx(3 * 0.4e-6 + 2 * 1.6e-6)
        assert "does not exist" in found["error"]
        assert json.loads(vendor.received[0].body).keys() == {"model", "messages"}

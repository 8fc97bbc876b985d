"""Asks LiteLLM's own Router where calls go. Run by a Python that has LiteLLM, as a script.

It reads one JSON document from stdin: `model_list`, `settings` (arguments of the Router), the
address of the simulated `upstream`, and `scenarios`. It prints, for each scenario, how many calls
each deployment answered. Nothing of LLMProxy is imported.
"""

import asyncio
import collections
import json
import logging
import os
import sys
import urllib.request
from typing import Any

AT_ONCE = 20  # calls; where all deployments fail, most of the time is spent waiting for a retry


def _set_failing(upstream: str, names: list[str]) -> None:
    body = json.dumps({"failing": names}).encode()
    urllib.request.urlopen(f"{upstream}/control", body, timeout=10).close()  # noqa: S310


async def _answered(router: Any, model: str) -> str:
    try:
        answer = await router.acompletion(
            model=model, messages=[{"role": "user", "content": "hello"}]
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a status
        return f"status {getattr(error, 'status_code', 500)}"
    return str(answer.choices[0].message.content)


async def _main() -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.disable(logging.CRITICAL)
    sys.path.pop(0)  # this folder, whose litellm.py is another one
    import litellm  # noqa: PLC0415

    litellm.suppress_debug_info = True
    task = json.load(sys.stdin)
    router = litellm.Router(model_list=task["model_list"], **task["settings"])
    found = []
    for scenario in task["scenarios"]:
        _set_failing(task["upstream"], scenario["failing"])
        answers = []
        for start in range(0, scenario["calls"], AT_ONCE):
            count = min(AT_ONCE, scenario["calls"] - start)
            calls = (_answered(router, scenario["model"]) for _ in range(count))
            answers += await asyncio.gather(*calls)
        found.append(dict(collections.Counter(answers)))
    print("\n" + json.dumps(found))  # noqa: T201 - the last line of its output


if __name__ == "__main__":
    asyncio.run(_main())

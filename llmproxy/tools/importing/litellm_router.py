"""Asks LiteLLM's own Router where calls go. Run by a Python that has LiteLLM, as a script.

It reads one JSON document from stdin: `setups` (arguments of the Router, for each kind of scenario)
and `scenarios`. It prints, for each scenario, who answered its calls. Nothing of LLMProxy is
imported. LiteLLM's import takes most of the time.
"""

import asyncio
import collections
import json
import logging
import sys
from typing import Any

AT_ONCE = 20  # calls
LONGEST_SLEEP_S = 0.01  # before a retry: LiteLLM would wait up to 8 s
_sleep = asyncio.sleep


async def _short_sleep(delay: float, result: object = None) -> object:
    return await _sleep(min(delay, LONGEST_SLEEP_S), result)


def _is_refused(router: Any, scenario: dict[str, Any]) -> bool:
    """Say whether LiteLLM's proxy refuses a model name before it asks its Router."""
    model = scenario["model"]
    return not (
        model in router.get_model_names(team_id=scenario["team"])
        or model in (router.model_group_alias or {})
        or router.default_deployment is not None
        or router.pattern_router.patterns
    )


async def _answered(router: Any, scenario: dict[str, Any], message: str) -> str:
    try:
        answer = await router.acompletion(
            model=scenario["model"],
            messages=[{"role": "user", "content": message}],
            **scenario["request"],
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a status
        return f"status {getattr(error, 'status_code', 500)}"
    return str(answer.choices[0].message.content)


async def _ask(router: Any, scenario: dict[str, Any], message: str, calls: int) -> list[str]:
    if _is_refused(router, scenario):
        return ["status 400"] * calls
    answers: list[str] = []
    for start in range(0, calls, AT_ONCE):
        count = min(AT_ONCE, calls - start)
        asked = (_answered(router, scenario, message) for _ in range(count))
        answers += await asyncio.gather(*asked)
    return answers


async def _main() -> None:
    logging.disable(logging.CRITICAL)
    sys.path.pop(0)  # this folder, whose litellm.py is another one
    import litellm  # noqa: PLC0415

    litellm.suppress_debug_info = True
    asyncio.sleep = _short_sleep  # type: ignore[assignment]
    task = json.load(sys.stdin)
    plain = litellm.Router(**task["setups"]["plain"])
    found = []
    for number, scenario in enumerate(task["scenarios"]):
        setup = scenario["setup"]
        router = plain if setup == "plain" else litellm.Router(**task["setups"][setup])
        await _ask(router, scenario, f"warm-up {number}", scenario["warm_up_calls"])
        answers = await _ask(router, scenario, f"scenario {number}", scenario["calls"])
        found.append(dict(collections.Counter(answers)))
    print("\n" + json.dumps(found))  # noqa: T201 - the last line of its output


if __name__ == "__main__":
    asyncio.run(_main())

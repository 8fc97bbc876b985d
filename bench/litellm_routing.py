"""Send the same calls through LiteLLM's own Router and through LLMProxy, for each example config.

    LITELLM_PYTHON=litellm/bin/python python bench/litellm_routing.py [CONFIG ...]

LITELLM_PYTHON names a Python that has LiteLLM (`pip install litellm`); without it, our own is
tried. The configs are those of tests/tools/importing/configs, unless some are named. Everything
stays on loopback. A config takes some 15 to 40 s, most of them LiteLLM's own work.
"""

import os
import sys
from pathlib import Path

from llmproxy.tools.importing.comparing import HOW_TO_GET, litellm_python
from llmproxy.tools.importing.importer import compared_with_litellm

CONFIGS = Path(__file__).parents[1] / "tests" / "tools" / "importing" / "configs"


def main(names: list[str]) -> int:
    """Print a table for each config; return 1 if one differs."""
    python = litellm_python(os.environ)
    if python is None:
        print(HOW_TO_GET)
        return 2
    differs = False
    for path in map(Path, names) if names else sorted(CONFIGS.glob("*.yaml")):
        if "litellm_params" not in path.read_text():
            continue
        table = compared_with_litellm(path, python)
        differs = differs or "DIFFERS" in table
        print(f"{path.name}\n\n{table}\n", flush=True)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

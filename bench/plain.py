"""LLMProxy without prices, started like `llmproxy`: with `database_url: off`, no money at all."""

from __future__ import annotations

import sys

from llmproxy.cli import main
from llmproxy.composition import batteries

if __name__ == "__main__":
    batteries._pricing = lambda: None  # type: ignore[assignment]
    sys.exit(main())

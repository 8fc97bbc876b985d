"""The old name of `python -m llmproxy.tools.simulator`."""

import sys

from llmproxy.tools.simulator.__main__ import main

if __name__ == "__main__":
    sys.stderr.write("llmproxy.simulator has moved: run python -m llmproxy.tools.simulator\n")
    sys.exit(main())

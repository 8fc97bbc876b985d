"""The error for a missing extra."""

from tests.support.process import command

# Both read the config at the start.
COMMANDS = [
    ("check", "wants.yaml"),
    ("serve", "--config", "wants.yaml"),
    ("serve", "--config", "wants.yaml", "--workers", "2"),
]


async def refused_without(extra, words, folder, *, config, found):
    """Check that a command refuses the config, names what it `found`, and how to install the
    extra. The folder holds a stand-in for the missing package."""
    (folder / "wants.yaml").write_text(config)

    result = await command(*words, cwd=folder, environ={"PYTHONPATH": str(folder)})

    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith(f"wants.yaml: {found}")
    assert f"pip install 'llmproxy-gateway[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr

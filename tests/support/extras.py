"""What is said where an extra is wanted and not installed."""

from tests.support.process import command

# Each takes up the config at the start.
COMMANDS = [
    ("check", "wants.yaml"),
    ("serve", "--config", "wants.yaml"),
    ("serve", "--config", "wants.yaml", "--workers", "2"),
]


async def refused_without(extra, words, folder, *, config, found):
    """A command refuses the config, says what it `found`, and how the extra is installed. What
    stands in for the package that is not there is in the folder."""
    (folder / "wants.yaml").write_text(config)

    told = await command(*words, cwd=folder, environ={"PYTHONPATH": str(folder)})

    assert (told.status, told.stdout) == (2, "")
    assert told.stderr.startswith(f"wants.yaml: {found}")
    assert f"pip install 'llmproxy[{extra}]'" in told.stderr
    assert "Traceback" not in told.stderr

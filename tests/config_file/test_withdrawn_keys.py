"""Keys that have no effect any more are accepted, and the log says so."""

from llmproxy.batteries.config_file import ConfigFile
from tests.config_file.mistakes import GROUP, settings


def warnings_of(text, tmp_path, caplog):
    path = tmp_path / "llmproxy.yaml"
    path.write_text(text)
    ConfigFile(path, {}).load()
    return [record.getMessage() for record in caplog.records]


def test_exact_token_counts_are_accepted_and_warned_of(tmp_path, caplog):
    (warning,) = warnings_of(settings("exact_token_counts: true"), tmp_path, caplog)
    assert "general_settings.exact_token_counts has no effect any more" in warning
    assert "Remove the key" in warning


def test_a_config_without_such_keys_warns_of_nothing(tmp_path, caplog):
    assert warnings_of(GROUP, tmp_path, caplog) == []

"""Import a file of this folder, as the command does."""

from pathlib import Path

import yaml

from llmproxy.tools.importing.importer import import_file
from llmproxy.tools.importing.report import ImportOutcome

CONFIGS = Path(__file__).parent / "configs"


class Result:
    """An import: the config as values, and its report."""

    def __init__(self, path, kind=None, environ=None):
        self.imported = import_file(path, environ or {}, kind=kind)
        self.text = self.imported.text
        self.report = self.imported.report
        self.config = yaml.safe_load(self.text)
        self.settings = self.config.get("general_settings") or {}

    def group(self, name):
        return next(g for g in self.config["model_groups"] if g["model_group"] == name)

    def endpoints(self, group):
        return self.group(group)["models"]

    def paths(self, kind):
        return {finding.path for finding in self.report.of(kind)}

    @property
    def left_out(self):
        return self.paths(ImportOutcome.LEFT_OUT)

    @property
    def changed(self):
        return self.paths(ImportOutcome.CHANGED)

    def finding(self, path):
        return next(found for found in self.report.findings if found.path == path)


def example(name):
    return Result(CONFIGS / name)


def imported(folder, text, *, kind=None, name="config.yaml", environ=None):
    (folder / name).write_text(text)
    return Result(folder / name, kind, environ)

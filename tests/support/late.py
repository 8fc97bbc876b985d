"""Modules that are imported when a test first reads from them.

Each worker of pytest collects every test file, and the SDKs of one file cost 1 to 3 s to import.
"""

import importlib


class Late:
    """A module by its full name: `messages = Late("langchain_core.messages")`."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        if name.startswith("_"):  # pytest asks every name of a test file whether it is a test
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)

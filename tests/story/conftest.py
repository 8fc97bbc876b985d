"""What the stories share."""

import importlib

import pytest


@pytest.fixture(scope="session")
def anthropic():
    """The SDK. Its import takes three seconds: only the process that needs it spends them."""
    return importlib.import_module("anthropic")

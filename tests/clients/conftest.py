"""One vendor and proxies in front of it, and real clients that can be pointed at either.

Servers and clients live as long as a module: starting them costs more than the calls.
"""

import pytest

from llmproxy.tools.simulator import VendorSettings
from tests.clients.comparing import Place
from tests.clients.houses import SEED, everything_to, renaming
from tests.clients.styles import Async, Sync
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import serve_proxy


@pytest.fixture(scope="module")
def places():
    """The vendor itself, a proxy that takes every name, and one that renames the models."""
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED)),
        lambda vendor: serve_proxy(everything_to(vendor.base_url)),
        lambda vendor, _: serve_proxy(renaming(vendor.base_url)),
    ) as (vendor, passing, other):
        yield {
            "direct": Place(vendor.root),
            "passing": Place(passing.root),
            "renaming": Place(other.root, renames=True),
        }


@pytest.fixture(scope="module", params=[Sync, Async], ids=["sync", "async"])
def style(request):
    """The sync and the async clients."""
    style = request.param()
    yield style
    style.close()


@pytest.fixture(scope="module")
def sync():
    """The sync clients alone."""
    style = Sync()
    yield style
    style.close()

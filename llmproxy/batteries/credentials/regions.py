"""Regions of AWS that may not exist, for `llmproxy check`.

A warning is enough: a new region works before the installed botocore knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from llmproxy.batteries.credentials.aws import region_of
from llmproxy.providers.base import Endpoints


def known_regions() -> frozenset[str]:
    """Return the regions that botocore knows; none if it is not installed. Takes a second."""
    try:
        from botocore.session import Session  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError:
        return frozenset()
    session = Session()
    partitions = session.get_available_partitions()
    regions = (session.get_available_regions("ec2", partition) for partition in partitions)
    return frozenset(chain.from_iterable(regions))


def unknown_regions(
    endpoints: Endpoints, known_regions: Callable[[], frozenset[str]] = known_regions
) -> Iterator[str]:
    """Yield a warning for each endpoint at AWS in a region that is not known."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    named = [
        (endpoint, region)
        for endpoint in chain.from_iterable(endpoints.values())
        if (region := region_of(endpoint.host))
    ]
    known = known_regions() if named else frozenset()
    for endpoint, region in named:
        if known and region not in known:
            near = get_close_matches(region, sorted(known))
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            yield (
                f"Endpoint {endpoint.name!r} of {endpoint.group!r}: the region {region} is not "
                f"among those that the installed botocore knows.{meant}"
            )

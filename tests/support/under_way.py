"""What is under way in a proxy of this process: calls, attempts, waiting calls.

Tests look here instead of into the runtime.
"""

from tests.support.waiting import until


def under_way(proxy):
    """Return what is under way, by name; nothing if the proxy is idle."""
    runtime = proxy.runtime
    counts = {"calls": runtime.in_flight}
    if runtime.cache is not None:
        counts["shared upstream calls"] = len(runtime.cache.coalescer.flights)
    for group in runtime.pool.groups.values():
        counts |= {
            f"calls in {group.name}": group.in_flight,
            f"waiting calls of {group.name}": len(group.queue),
            f"retries of {group.name}": group.budget.retrying,
        }
        for state in group.states:
            name = f"{group.name}/{state.endpoint.name}"
            counts[f"attempts at {name}"] = state.in_flight
            counts[f"places taken at {name}"] = state.capacity.in_flight
    return {name: count for name, count in counts.items() if count}


def clients_of_shared_calls(proxy):
    """Return how many clients wait for calls that they may share."""
    flights = proxy.runtime.cache.coalescer.flights.values()
    return sum(len(flight._subscribers) for flight in flights)


async def idle(proxy, within_s=30.0):
    """Wait until nothing is under way."""
    await until(lambda: not under_way(proxy), within_s)


def waiting_calls(proxy, group="gpt-4.1"):
    """Return how many calls wait in a group's queue."""
    return len(proxy.runtime.pool.groups[group].queue)


async def queued(proxy, count, group="gpt-4.1"):
    """Wait until so many calls wait in a group's queue."""
    await until(lambda: waiting_calls(proxy, group) == count)


async def sharing(*proxies):
    """Wait until every proxy is connected to the shared state."""
    await until(lambda: all(proxy.runtime.peers.status(0.0).connected for proxy in proxies))

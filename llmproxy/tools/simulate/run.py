"""Runs a whole simulation: a config, a model and traffic in, results out."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from llmproxy.batteries.affinity import affinity_of, rules_of
from llmproxy.batteries.fallbacks import followers_of
from llmproxy.batteries.hedging import Hedger
from llmproxy.batteries.parameters import with_edits
from llmproxy.batteries.price_list import with_list_prices
from llmproxy.batteries.strategies import ALL_STRATEGIES, warn_without_price
from llmproxy.config import Config
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.routing import EndpointState
from llmproxy.runtime import pool_of
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.model import Model
from llmproxy.tools.simulate.proxy import Proxy
from llmproxy.tools.simulate.results import BINS, EndpointCount, Results
from llmproxy.tools.simulate.shared import SharedView
from llmproxy.tools.simulate.traffic import Arrival, Traffic
from llmproxy.tools.simulate.vendors import Account, SimulatedEndpoint
from llmproxy.tools.simulator.prompt_cache import PromptCache

MINUTE_S = 60.0


def simulate(
    config: Config,
    model: Model,
    traffic: Traffic,
    *,
    seed: int = 0,
    instances: int = 1,
    on_call: Callable[[], object] = lambda: None,
) -> Results:
    """Run the traffic through the config's proxy. The same arguments give the same results.

    `instances` is the number of proxies, behind a load balancer that picks one at random. Several
    instances share one view of the limits. `on_call`: told of each call.
    """
    results = Results(traffic.seconds, traffic.notes)
    clock = Clock()
    vendors = _Vendors(config, model, results, seed)
    proxies = [
        _proxy(config, vendors, clock, Random(f"{seed} instance {i}"))  # noqa: S311
        for i in range(instances)
    ]
    if instances > 1:
        results.shared = SharedView(proxies, clock).work
    balance = Random(f"{seed} balance").randrange  # noqa: S311 - repeatable, not secret
    results.calls = len(traffic.arrivals)

    def arrive(arrival: Arrival, now: float) -> None:
        on_call()
        proxies[balance(instances) if instances > 1 else 0].take(arrival, now)

    clock.run(traffic.arrivals, arrive)
    return results


def without_affinity(config: Config) -> Config:
    """Return a config in which no call prefers the endpoint of its conversation."""
    off = {"affinity": "off"}
    groups = tuple(group.model_copy(update=off) for group in config.model_groups)
    settings = config.general_settings.model_copy(update=off)
    return config.model_copy(update={"model_groups": groups, "general_settings": settings})


class _Vendors:
    """The modelled endpoints, which all instances share."""

    def __init__(self, config: Config, model: Model, results: Results, seed: int) -> None:
        self._timeout_s = config.general_settings.timeouts.unary_first_byte_s
        self._model = model
        self.results = results
        self._seed = seed
        self._accounts: dict[str, Account] = {}
        self._found: dict[tuple[str, str], tuple[SimulatedEndpoint, EndpointCount]] = {}

    def of(self, state: EndpointState, tier: int) -> tuple[SimulatedEndpoint, EndpointCount]:
        """Return the model and the counters of an endpoint."""
        endpoint = state.endpoint
        key = (endpoint.group, endpoint.name)
        if key not in self._found:
            vendor = self._vendor(endpoint)
            warn_without_price(endpoint)
            price = None if isinstance(endpoint.price, str) else endpoint.price
            changes = None if endpoint.edit is None else str(endpoint.edit)
            count = EndpointCount(*key, tier, vendor.account, price, changes, served_at=[0] * BINS)
            self.results.endpoints.append(count)
            self._found[key] = (vendor, count)
        return self._found[key]

    def _vendor(self, endpoint: Endpoint) -> SimulatedEndpoint:
        model = self._model.of(endpoint.group, endpoint.name)
        random = Random(f"{self._seed} {endpoint.group}/{endpoint.name}")  # noqa: S311
        limits = model.limits or endpoint.limits
        if endpoint.account not in self._accounts:
            self._accounts[endpoint.account] = Account(
                limits.rpm,
                limits.tpm,
                fixed_windows=endpoint.provider.fixed_windows,
                begins_at=-MINUTE_S * random.random(),
                prompt_cache=_prompt_cache(endpoint),
            )
        return SimulatedEndpoint(
            endpoint,
            self._accounts[endpoint.account],
            model,
            latency=self._model.latency_s,
            timeout_s=endpoint.first_byte_timeout_s or self._timeout_s or inf,
            random=random,
        )


def _prompt_cache(endpoint: Endpoint) -> PromptCache | None:
    rules = rules_of(endpoint.provider.name)
    if rules is None:
        return None
    return PromptCache(rules.min_tokens, rules.step_tokens)


def _proxy(config: Config, vendors: _Vendors, clock: Clock, random: Random) -> Proxy:
    pool = pool_of(
        config,
        endpoints=with_list_prices(config, with_edits(config, endpoints_of(config))),
        hedging=Hedger(),
        strategies=ALL_STRATEGIES,
        affinity=affinity_of,
    )
    models: dict[EndpointState, SimulatedEndpoint] = {}
    counts: dict[EndpointState, EndpointCount] = {}
    for group in pool.groups.values():
        for number, tier in enumerate(group.tiers):
            for state in tier.states:
                models[state], counts[state] = vendors.of(state, number)
    return Proxy(
        pool,
        config.general_settings,
        followers=followers_of(config, pool),
        clock=clock,
        results=vendors.results,
        vendors=models,
        counts=counts,
        random=random,
    )

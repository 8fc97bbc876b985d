"""Change the config file of a proxy, and reload it."""

import yaml

from tests.support.client import HELLO, ask
from tests.support.groups import endpoint


def group(name, *endpoints, **settings):
    return {"model_group": name, "models": list(endpoints), **settings}


def config_of(*groups, **settings):
    settings = {"drain_delay_s": 0, "drain_timeout_s": 1} | settings
    return {"model_groups": list(groups), "general_settings": settings}


def one_group(*endpoints, **settings):
    return config_of(group("gpt-4.1", *endpoints), **settings)


def with_key(entry, key):
    """Return an endpoint's entry with another credential."""
    return {**entry, "params": {**entry["params"], "api_key": key}}


def write(proxy, config):
    text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
    proxy.reloader.file.path.write_text(text)


async def reload(proxy, config):
    """Write the config file and reload it; return the changes."""
    write(proxy, config)
    return await proxy.reloader.reload()


async def chat(proxy, body=HELLO, **options):
    return await ask(proxy.port, body=body, **options)


def state_of(proxy, name, group="gpt-4.1"):
    states = proxy.runtime.pool.groups[group].states
    return next(state for state in states if state.endpoint.name == name)


__all__ = ["chat", "config_of", "endpoint", "group", "one_group", "reload", "state_of", "write"]

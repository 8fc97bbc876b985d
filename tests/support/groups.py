"""Configs with model groups in front of scripted vendors."""

from tests.support.proxy import config_for

# Timeouts for tests of silence.
QUICK = {"timeouts": {"connect_s": 1, "first_byte_s": 0.3, "unary_first_byte_s": 0.3, "idle_s": 1}}


def group_of(*vendors, **settings):
    """Return a config with one group: an endpoint per vendor, named e0, e1, ... in their order."""
    endpoints = [
        {
            "name": f"e{number}",
            "model": "gpt-4.1",
            "params": {"base_url": vendor.base_url, "api_key": f"sk-{number}"},
        }
        for number, vendor in enumerate(vendors)
    ]
    return config_for(*endpoints, **{**QUICK, **settings})


def two_groups(main, other):
    """Return a config with two groups of one endpoint: `main`, and `e0` as its fallback."""
    groups = [
        {"model_group": "gpt-4.1", "models": [endpoint(main, "main")], "fallbacks": ["g0"]},
        {"model_group": "g0", "models": [endpoint(other, "e0")]},
    ]
    return {"model_groups": groups, "general_settings": {"drain_delay_s": 0, "num_retries": 0}}


def endpoint(vendor, name, **settings):
    """Return a group's entry for a vendor."""
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    return {"name": name, "model": "gpt-4.1", "params": params, **settings}


def one_endpoint(vendor, *, limits=None, **queue):
    """Return a config with one endpoint."""
    entry = endpoint(vendor, "only", **({"limits": limits} if limits else {}))
    return config_for(entry, queue=queue)


def two_tiers(cheap, dear, *, limits=None, **queue):
    """Return a config with an endpoint in each of two tiers."""
    first = endpoint(cheap, "cheap", tier=0, **({"limits": limits} if limits else {}))
    return config_for(first, endpoint(dear, "dear", tier=1), queue=queue)

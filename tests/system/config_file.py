"""Changes of a running proxy's config file."""

import yaml

from tests.admin.watching import get_json

WRONG = "model_groups: [{model_group: gpt-4.1, models: [{weight: many}]}]\n"
SETTINGS = {"drain_delay_s": 0, "drain_timeout_s": 5, "log_format": "json"}


def write(proxy, config):
    """Replace the config file in one step, so that it is never half-written."""
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    new = proxy.folder / "config.yaml.new"
    new.write_text(text)
    new.rename(proxy.folder / "config.yaml")


async def config_now(proxy):
    """Return what the proxy says of its config."""
    return (await get_json(proxy, "/admin/state"))["config"]

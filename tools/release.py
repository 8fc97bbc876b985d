"""Check that this commit can be released, build it, and try the wheel.

docs/project/releasing.md says how.
"""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import llmproxy

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv/bin/uv"
# What a wheel without them would break, by name.
EXPECTED = ("llmproxy/py.typed", "llmproxy/batteries/admin/dashboard/index.html")


def main() -> int:
    version = llmproxy.__version__
    problems = [*unclean(), *unnamed(version), *taken(version)]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    subprocess.run([UV, "build", "--quiet", "--clear", "--out-dir", "dist"], check=True, cwd=ROOT)
    wheel = next((ROOT / "dist").glob("*.whl"))
    problems = [*missing(wheel), *broken(wheel, version)]
    print("\n".join(problems) or f"{wheel.name} is right. Next: git tag -s v{version}")
    return 1 if problems else 0


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout


def unclean() -> list[str]:
    changed = output_of("git", "status", "--porcelain")
    return [f"Commit or remove these first:\n{changed}"] if changed else []


def unnamed(version: str) -> list[str]:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        return []
    return [f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`."]


def taken(version: str) -> list[str]:
    tags = output_of("git", "tag", "--list", f"v{version}")
    return [f"The tag v{version} exists: choose the next version."] if tags else []


def missing(wheel: Path) -> list[str]:
    names = output_of(sys.executable, "-m", "zipfile", "--list", wheel)
    return [f"{wheel.name} lacks {name}." for name in EXPECTED if name not in names]


def broken(wheel: Path, version: str) -> list[str]:
    """Install the wheel into an empty environment and ask it for its version."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        python = Path(folder, "bin/python")
        install = [UV, "pip", "install", "--quiet", "--python", python]
        subprocess.run(
            [*install, "--require-hashes", "-r", ROOT / "requirements/run.txt"], check=True
        )
        subprocess.run([*install, "--no-deps", wheel], check=True)
        said = output_of(Path(folder, "bin/llmproxy"), "--version")
    return [] if version in said else [f"The installed wheel calls itself {said.strip()!r}."]


if __name__ == "__main__":
    sys.exit(main())

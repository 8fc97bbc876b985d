"""Check that this commit can be released, build it, and try the wheel.

docs/project/releasing.md says how.
"""

import re
import sys
import tempfile
from pathlib import Path

import dist
import llmproxy

ROOT = Path(__file__).resolve().parent.parent
# What the registry's page links to. Nothing is public yet, and no address is made up.
URLS = ("Source", "Documentation", "Issues", "Changelog")


def main() -> int:
    version = llmproxy.__version__
    problems = [*unclean(), *unnamed(version), *taken(version), *without_address()]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    problems = dist.build_all(ROOT / "dist")
    wheel = next((ROOT / "dist").glob("*.whl"))
    problems += broken(wheel, version)
    print("\n".join(problems) or f"{wheel.name} is right. Next: git tag -s v{version}")
    return 1 if problems else 0


def unclean() -> list[str]:
    changed = dist.output_of("git", "status", "--porcelain")
    return [f"Commit or remove these first:\n{changed}"] if changed else []


def unnamed(version: str) -> list[str]:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        return []
    return [f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`."]


def taken(version: str) -> list[str]:
    tags = dist.output_of("git", "tag", "--list", f"v{version}")
    return [f"The tag v{version} exists: choose the next version."] if tags else []


def without_address() -> list[str]:
    urls = dist.project_of(ROOT).get("urls", {})
    lacking = [name for name in URLS if name not in urls]
    if not lacking:
        return []
    return [f"[project.urls] of pyproject.toml lacks {', '.join(lacking)}: say where that is."]


def broken(wheel: Path, version: str) -> list[str]:
    """Install the wheel into an empty environment and ask it for its version."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "environment")
        dist.install(wheel, environment, ROOT / "requirements/run.txt")
        said = dist.output_of(environment / "bin/llmproxy", "--version")
    return [] if version in said else [f"The installed wheel calls itself {said.strip()!r}."]


if __name__ == "__main__":
    sys.exit(main())

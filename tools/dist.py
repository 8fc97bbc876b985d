"""Build what is released, from the commit that is checked out, into dist/; see releasing.md.

A wheel, a source archive, their list of parts (SBOM, CycloneDX) without and with the extras, the
licences of what they bring, and the SHA-256 of each. What is not committed is not in them. Two
builds of a commit have the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import licences

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
UV = BIN / "uv"
SUMS = "SHA256SUMS"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--archives"]:  # only these, into the folder named
        build_archives(Path(arguments[1]))
        return 0
    if changed := output_of("git", "status", "--porcelain", "--untracked-files=no"):
        print(f"Not in what is built, because it is not committed:\n{changed}", file=sys.stderr)
    problems = build_all(ROOT / "dist")
    for line in (ROOT / "dist" / SUMS).read_text(encoding="utf-8").splitlines():
        size = (ROOT / "dist" / line.split()[1]).stat().st_size
        print(f"{line}  {size / 1e6:.2f} MB")
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


def build_all(folder: Path) -> list[str]:
    """Build everything into a new folder; return what stands against releasing it."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        source = checked_out(Path(work, "source"))
        wheel = build(source, folder)
        name = wheel.name.partition("-py3")[0]
        plain, full = Path(work, "plain"), Path(work, "full")
        locks = source / "requirements"
        install(wheel, plain, locks / "run.txt")
        install(wheel, full, locks / "run.txt", *sorted((locks / "extras").iterdir()))
        write_sbom(plain, source, folder / f"{name}.cdx.json")
        write_sbom(full, source, folder / f"{name}-with-extras.cdx.json")
        problems = write_licences(full, source, folder / f"{name}-licences.md")
    write_sums(folder)
    return problems


def build_archives(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        build(checked_out(Path(work, "source")), folder)


def output_of(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command, with variables added; return its output. Its errors go to stderr."""
    environ = {**os.environ, **(env or {})}
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, env=environ)
    return done.stdout.decode()


def checked_out(folder: Path) -> Path:
    """Return a folder with the files of the commit, and nothing that lies beside them here."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    output_of("git", "archive", "--output", archive, "HEAD")
    output_of("tar", "--extract", "--file", archive, "--directory", folder)
    return folder


def build(source: Path, folder: Path) -> Path:
    """Build the source archive, and the wheel from it; return the wheel."""
    with_this = ("--no-build-isolation", "--python", sys.executable)
    output_of(UV, "build", "--quiet", *with_this, "--out-dir", folder, source, env=at_commit())
    (folder / ".gitignore").unlink(missing_ok=True)  # uv's
    return next(folder.glob("*.whl"))


def at_commit() -> dict[str, str]:
    """Return the variable that makes the commit's time the time of every file."""
    return {"SOURCE_DATE_EPOCH": output_of("git", "log", "-1", "--format=%ct").strip()}


def install(wheel: Path, environment: Path, *locks: Path) -> None:
    """Install a wheel and the packages of some locks into a new environment."""
    output_of(UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin/python"
    into = [UV, "pip", "install", "--quiet", "--python", python]
    output_of(*into, "--require-hashes", *(f"--requirements={lock}" for lock in locks))
    output_of(*into, "--no-deps", wheel)


def write_sbom(environment: Path, source: Path, file: Path) -> None:
    """Write what is installed in an environment as CycloneDX, checked against its schema."""
    version = file.name.split("-")[1].removesuffix(".cdx.json")
    told = (source / "pyproject.toml").read_text(encoding="utf-8")
    named = environment / "pyproject.toml"  # the tool cannot read a version from a module
    named.write_text(told.replace('dynamic = ["version"]', f'version = "{version}"'), "utf-8")
    listing = (BIN / "cyclonedx-py", "environment", "--output-reproducible", "--validate")
    python = environment / "bin/python"
    output_of(*listing, "--pyproject", named, "--output-file", file, python, env=at_commit())


def write_licences(environment: Path, source: Path, file: Path) -> list[str]:
    """Write the licences of what is installed in an environment; return what is wrong with them."""
    name = project_of(source)["name"]
    folders = [str(folder) for folder in environment.glob("lib/python3*/site-packages")]
    installed = list(distributions(path=folders))
    version = next(found.version for found in installed if found.name == name)
    packages = licences.packages_of(name, installed)
    file.write_text(licences.report(name, version, packages), encoding="utf-8")
    return list(licences.problems_of(packages))


def project_of(source: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    return project


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of each file, as `sha256sum --check` reads them."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

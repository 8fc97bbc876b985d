"""Writes ops/kubernetes from the chart in ops/helm, for those who do not use Helm.

`python tools/manifests.py` writes; with --check it compares, and the status is 1 if a file is not
what the chart gives. It needs the packages of requirements/deploy.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import helm_python
import yaml

CHART = Path("ops/helm/llmproxy")
MANIFESTS = Path("ops/kubernetes")
NAME = "llmproxy"
HEADER = "# Made from ops/helm/llmproxy with its default values by `make manifests`; do not edit.\n"
# Labels that say who applied the objects, which is not Helm here.
_OF_HELM = ("app.kubernetes.io/managed-by:", "helm.sh/chart:")
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAME,
        "labels": {
            f"pod-security.kubernetes.io/{mode}": "restricted"
            for mode in ("enforce", "audit", "warn")
        },
    },
}


def rendered(values: dict[str, object] | None = None) -> dict[str, str]:
    """Return the files that the chart gives, by name; those that values turn off are left out."""
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values or {})
        files = chart.render(values or {}, name=NAME, namespace=NAME)
    return {
        name.rpartition("/")[2]: text
        for name, text in files.items()
        if name.endswith(".yaml") and text.strip()
    }


def manifests() -> dict[str, str]:
    """Return what ops/kubernetes is to hold, by the name of the file."""
    files = {
        name: HEADER + "\n".join(line for line in text.splitlines() if _is_kept(line)) + "\n"
        for name, text in sorted(rendered().items())
    }
    files["namespace.yaml"] = HEADER + yaml.safe_dump(NAMESPACE, sort_keys=False)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAME,
        "resources": sorted(files),
    }
    files["kustomization.yaml"] = HEADER + yaml.safe_dump(kustomization, sort_keys=False)
    return files


def _is_kept(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith(_OF_HELM)


def main(arguments: list[str]) -> int:
    """Write the files, or compare them; return the exit status."""
    wanted = manifests()
    if arguments == ["--check"]:
        found = {path.name: path.read_text("utf-8") for path in MANIFESTS.glob("*.yaml")}
        names = sorted(wanted.keys() | found.keys())
        stale = [name for name in names if wanted.get(name) != found.get(name)]
        for name in stale:
            print(f"{MANIFESTS / name} is not what the chart gives. Run: make manifests")
        return 1 if stale else 0
    MANIFESTS.mkdir(exist_ok=True)
    for path in MANIFESTS.glob("*.yaml"):
        path.unlink()
    for name, text in wanted.items():
        (MANIFESTS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

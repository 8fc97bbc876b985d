"""Objects of other projects' kinds are valid by the schemas that these projects install.

The schemas come from the projects' Go modules, 13 MB in all, through the module proxy.
"""

import json
import shutil
import subprocess
from zipfile import ZipFile

import pytest
import yaml

pytest.importorskip("helm_python", reason="see make test-deploy")
jsonschema = pytest.importorskip("jsonschema", reason="see make test-deploy")

from tests.deploy.chart import EVERYTHING, WITH_KEDA, objects  # noqa: E402 - needs helm_python

# kind: module, where its definition is in it, and values that make one
KINDS = {
    "ServiceMonitor": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        EVERYTHING,
    ),
    "ScaledObject": (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        WITH_KEDA,
    ),
    "HTTPRoute": (
        "sigs.k8s.io/gateway-api@v1.4.0",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        EVERYTHING,
    ),
}


def definition(module, path, folder):
    """Return a definition of a kind out of a Go module; skip the test if it cannot be had here."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed: it fetches the modules with the schemas")
    result = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=folder,  # where no go.mod is
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    archive = json.loads(result.stdout or "{}").get("Zip")
    if archive is None:
        pytest.skip(f"{module} cannot be fetched here: {result.stderr or result.stdout}")
    with ZipFile(archive) as opened:
        return yaml.safe_load(opened.read(f"{module}/{path}"))


def strict(schema):
    """Return a schema that accepts no member that it does not describe, as kubectl's check does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        changed["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return changed


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_valid_by_the_schema_of_its_project(kind, tmp_path):
    module, path, values = KINDS[kind]
    document = objects(values)[kind]
    versions = definition(module, path, tmp_path)["spec"]["versions"]
    version = document["apiVersion"].rpartition("/")[2]
    (schema,) = [
        strict(served["schema"]["openAPIV3Schema"])
        for served in versions
        if served["name"] == version
    ]
    jsonschema.validate(document, schema)
    document["spec"]["misspelt"] = 1
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        jsonschema.validate(document, schema)

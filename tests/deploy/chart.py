"""Values for the chart, and what it gives for them. Importing it needs helm_python."""

import yaml

from tools.manifests import rendered

EVERYTHING = {
    "workers": 2,
    "image": {"repository": "registry.example.com/llmproxy", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "REDIS_URL", "value": "redis://valkey:6379"}],
    "autoscaling": {"targetCallsInFlight": 40},
    "networkPolicy": {"fromNamespaces": ["ingress-nginx", "monitoring"]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "ingress": {"enabled": True, "tlsSecret": "llm-tls"},
    "gateway": {"enabled": True},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "volumes": [{"name": "tls", "secret": {"secretName": "llm-tls"}}],
    "volumeMounts": [{"name": "tls", "mountPath": "/etc/llmproxy-tls", "readOnly": True}],
}
WITH_KEDA = {"autoscaling": {"enabled": False}, "keda": {"enabled": True}}
CASES = {"default": {}, "everything": EVERYTHING, "keda": WITH_KEDA}


def objects(values=None):
    """The objects that the chart gives, by kind."""
    documents = [yaml.safe_load(text) for text in rendered(values).values()]
    return {document["kind"]: document for document in documents}


def pod(values=None):
    return objects(values)["Deployment"]["spec"]["template"]["spec"]

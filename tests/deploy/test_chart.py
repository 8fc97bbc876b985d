"""The chart and the manifests: valid for Kubernetes, tight, and in step with the proxy."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import llmproxy
from llmproxy.batteries.config_file import parse_config
from llmproxy.config import GeneralSettings

helm_python = pytest.importorskip("helm_python", reason="see make test-deploy")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="see make test-deploy")

# They need helm_python.
from tests.deploy.chart import CASES, EVERYTHING, WITH_KEDA, objects, pod  # noqa: E402
from tools.manifests import CHART, MANIFESTS, manifests, rendered  # noqa: E402

VERSIONS = ("1.27", "1.30", "1.34", "1.37")
# Kinds of other projects: test_foreign_kinds.py has their schemas.
FOREIGN = {"ServiceMonitor", "ScaledObject", "HTTPRoute"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid_for_kubernetes(case, version):
    found = objects(CASES[case])
    assert {"Deployment", "Service", "ConfigMap", "NetworkPolicy"} <= found.keys()
    for kind, document in found.items():
        if kind not in FOREIGN:
            kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_member_would_be_seen():
    document = objects()["Deployment"]
    document["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_helm_finds_nothing_to_say_of_the_chart():
    found = helm_python.lint(str(CHART))
    messages = found["messages"] if isinstance(found, dict) else found
    assert [message for message in messages if "icon is recommended" not in str(message)] == []


def test_the_manifests_are_those_that_the_chart_gives():
    written = {path.name: path.read_text("utf-8") for path in MANIFESTS.glob("*.yaml")}
    assert written == manifests(), "run: make manifests"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_reads_the_folder_of_manifests():
    result = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS)], check=False, capture_output=True, text=True
    )
    found = [document["kind"] for document in yaml.safe_load_all(result.stdout)]
    assert sorted(found) == sorted([*objects(), "Namespace"]), result.stderr


def test_the_manifests_name_a_version_that_there_is():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == chart["version"] == llmproxy.__version__


@pytest.mark.parametrize("case", CASES)
def test_the_pods_fulfil_the_restricted_standard(case):
    """The rules of Kubernetes' Pod Security Standards, level restricted."""
    spec = pod(CASES[case])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert {next(key for key in volume if key != "name") for volume in spec["volumes"]} <= {
        *("configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"),
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True  # more than the standard asks for
        assert all("hostPort" not in port for port in container["ports"])
    namespace = yaml.safe_load((MANIFESTS / "namespace.yaml").read_text("utf-8"))
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_pod_gets_a_token():
    assert objects()["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod()["automountServiceAccountToken"] is False


def test_the_user_is_the_one_of_the_image():
    dockerfile = Path("Dockerfile").read_text("utf-8")
    context = pod()["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile


def test_the_config_that_the_chart_writes_is_one_that_the_proxy_takes():
    text = objects()["ConfigMap"]["data"]["llmproxy.yaml"]
    assert parse_config(text, {"OPENAI_API_KEY": "made-up"}, file="llmproxy.yaml").model_groups


@pytest.mark.parametrize(
    ("settings", "grace_s"),
    [
        ({"drain_delay_s": 15, "drain_timeout_s": 600}, 630),
        ({"drain_delay_s": 0.5, "drain_timeout_s": 30}, 46),
        ({"drain_delay_s": None, "drain_timeout_s": 60}, 80),
    ],
)
def test_a_pod_has_the_time_to_drain(settings, grace_s):
    spec = pod({"config": {"general_settings": settings}})
    assert spec["terminationGracePeriodSeconds"] == grace_s


def test_a_config_file_is_taken_as_it_is_with_its_drain_times():
    text = "# ours\ngeneral_settings: {drain_delay_s: 1, drain_timeout_s: 2}\nmodel_groups: []"
    found = objects({"configFile": text})
    assert found["ConfigMap"]["data"]["llmproxy.yaml"].strip() == text
    grace_s = found["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s == 1 + 2 + 15


def test_without_drain_times_those_of_the_proxy_hold():
    nothing = {"drain_delay_s": None, "drain_timeout_s": None}
    proxy = GeneralSettings()
    assert pod({"config": {"general_settings": nothing}})["terminationGracePeriodSeconds"] == (
        proxy.drain_delay_s + proxy.drain_timeout_s + 15
    )


def test_a_config_map_of_ones_own_needs_the_time_to_be_said():
    with pytest.raises(helm_python.HelmError, match="drain_delay_s \\+ drain_timeout_s"):
        rendered({"existingConfigMap": "mine"})
    values = {"existingConfigMap": "mine", "terminationGracePeriodSeconds": 99}
    assert "ConfigMap" not in objects(values)
    assert pod(values)["volumes"][0]["configMap"] == {"name": "mine"}


def test_load_balancers_have_time_to_notice():
    """The proxy takes calls for drain_delay_s after SIGTERM: more than two probes take to fail."""
    probe = pod()["containers"][0]["readinessProbe"]
    config = yaml.safe_load(objects()["ConfigMap"]["data"]["llmproxy.yaml"])
    noticed_s = probe["failureThreshold"] * (probe["periodSeconds"] + probe["timeoutSeconds"])
    assert config["general_settings"]["drain_delay_s"] > noticed_s


def test_liveness_never_depends_on_endpoints():
    container = pod()["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


WITH_TLS = {"cert": "/etc/llmproxy-tls/tls.crt", "key": "/etc/llmproxy-tls/tls.key"}


def test_the_kubelet_and_prometheus_use_tls_where_the_proxy_does():
    assert pod()["containers"][0]["livenessProbe"]["httpGet"]["scheme"] == "HTTP"
    values = EVERYTHING | {"config": {"general_settings": {"tls": WITH_TLS}}}
    (container,) = pod(values)["containers"]
    probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["httpGet"]["scheme"] for probe in probes} == {"HTTPS"}
    assert objects(values)["ServiceMonitor"]["spec"]["endpoints"][0]["scheme"] == "https"
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert WITH_TLS["cert"].startswith(mounted["tls"])


def test_a_proxy_that_asks_everyone_for_a_certificate_would_never_be_ready():
    tls = WITH_TLS | {"client_ca": "/etc/ca.pem"}
    with pytest.raises(helm_python.HelmError, match="client_certificate: optional"):
        rendered({"config": {"general_settings": {"tls": tls}}})
    tls["client_certificate"] = "optional"
    assert pod({"config": {"general_settings": {"tls": tls}}})


def test_the_config_is_mounted_as_a_folder_since_a_file_is_never_renewed():
    (mount,) = [m for m in pod()["containers"][0]["volumeMounts"] if m["name"] == "config"]
    assert "subPath" not in mount
    assert mount["mountPath"] == "/etc/llmproxy"


def test_no_pod_is_replaced_because_its_config_changes():
    """A checksum in an annotation would restart all pods, and cut off long calls."""
    annotations = objects()["Deployment"]["spec"]["template"]["metadata"].get("annotations", {})
    assert annotations == {}


def test_secrets_are_only_referred_to():
    assert pod()["containers"][0]["envFrom"][0]["secretRef"]["name"] == "llmproxy-keys"
    assert "Secret" not in objects(EVERYTHING)


def test_the_autoscaler_uses_calls_in_flight_if_it_is_told_to():
    metrics = objects(EVERYTHING)["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    assert metrics[1]["pods"]["metric"]["name"] == "llmproxy_calls_in_flight"
    assert "replicas" not in objects()["Deployment"]["spec"]
    off = objects({"autoscaling": {"enabled": False}, "replicaCount": 5})
    assert "HorizontalPodAutoscaler" not in off
    assert off["Deployment"]["spec"]["replicas"] == 5


def test_the_service_leads_to_the_container():
    found = objects(EVERYTHING)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Service", "ServiceMonitor", "PodDisruptionBudget"):
        selector = found[kind]["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels.items(), kind
    ports = {port["name"] for port in pod()["containers"][0]["ports"]}
    assert found["Service"]["spec"]["ports"][0]["targetPort"] in ports
    assert found["ServiceMonitor"]["spec"]["endpoints"][0]["path"] == "/metrics"


def test_keda_counts_the_calls_of_this_namespace():
    (trigger,) = objects(WITH_KEDA)["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["query"] == 'sum(llmproxy_calls_in_flight{namespace="llmproxy"})'


WRONG = {
    "a key that there is not": ({"replicas": 3}, "replicas"),
    "a port below 1024, which needs root": ({"containerPort": 80}, "containerPort"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "two that set the number": ({"keda": {"enabled": True}}, "Turn one off"),
    "a policy that lets everyone in": ({"networkPolicy": {"from": []}}, "Name who may call"),
    "an autoscaler without a metric": (
        {"autoscaling": {"targetCPUUtilizationPercentage": None}},
        "targetCallsInFlight",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_with_its_name(case):
    values, named = WRONG[case]
    with pytest.raises(helm_python.HelmError, match=named):
        rendered(values)


def test_every_value_is_in_the_schema_and_the_other_way_round():
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert values.keys() == schema["properties"].keys() - {"global", "nameOverride"}
    for name, described in schema["properties"].items():
        if "properties" in described and name not in ("config",):
            assert values[name].keys() == described["properties"].keys(), name

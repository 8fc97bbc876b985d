"""The vendors as other gateways name them, and where each of them is reached from here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from llmproxy.tools.importing.gateway import ImportedEndpoint
from llmproxy.tools.importing.source import is_reference

Params = dict[str, Any]
# The version that LiteLLM asks Azure for where a config names none.
LITELLM_AZURE_VERSION = "2025-02-01-preview"


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor is written here.

    `provider`: our name; None: recognised by its address. `key`: the variable of its key.
    `base`: the variable of its address. `suffix`: what others leave out of the address.
    `needs_base`: there is no address to begin with. `no_key`: the variable may be unset.
    """

    provider: str | None
    key: str = ""
    base: str = ""
    suffix: str = ""
    needs_base: bool = False
    no_key: bool = False


OPENAI = Vendor(None, "OPENAI_API_KEY", "OPENAI_BASE_URL")
COMPATIBLE = Vendor("generic", needs_base=True)
OLLAMA = Vendor("ollama", "", "OLLAMA_API_BASE", "/v1/")
VENDORS = {
    "openai": OPENAI,
    "text-completion-openai": OPENAI,
    "custom_openai": COMPATIBLE,
    "openai_like": COMPATIBLE,
    "litellm_proxy": Vendor("generic", "LITELLM_PROXY_API_KEY", "LITELLM_PROXY_API_BASE", "", True),
    "anthropic": Vendor("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_API_BASE", "/v1/"),
    "cerebras": Vendor("cerebras", "CEREBRAS_API_KEY"),
    "cloudflare": Vendor("cloudflare", "CLOUDFLARE_API_KEY", needs_base=True),
    "cohere": Vendor("cohere", "COHERE_API_KEY"),
    "cohere_chat": Vendor("cohere", "COHERE_API_KEY"),
    "dashscope": Vendor("alibaba", "DASHSCOPE_API_KEY"),
    "databricks": Vendor("generic", "DATABRICKS_API_KEY", "DATABRICKS_API_BASE", "", True),
    "deepinfra": Vendor("deepinfra", "DEEPINFRA_API_KEY"),
    "deepseek": Vendor("deepseek", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Vendor("fireworks", "FIREWORKS_AI_API_KEY"),
    "fireworks": Vendor("fireworks", "FIREWORKS_API_KEY"),
    "gemini": Vendor("gemini", "GEMINI_API_KEY"),
    "github": Vendor("github", "GITHUB_API_KEY"),
    "groq": Vendor("groq", "GROQ_API_KEY"),
    "hosted_vllm": Vendor("vllm", "HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_BASE", no_key=True),
    "huggingface": Vendor("huggingface", "HF_TOKEN", "", "/v1/"),
    "llamafile": Vendor("llamacpp", "", "LLAMAFILE_API_BASE"),
    "lm_studio": Vendor("lmstudio", "", "LM_STUDIO_API_BASE"),
    "mistral": Vendor("mistral", "MISTRAL_API_KEY"),
    "moonshot": Vendor("moonshot", "MOONSHOT_API_KEY"),
    "nvidia_nim": Vendor("nvidia", "NVIDIA_NIM_API_KEY"),
    "ollama": OLLAMA,
    "ollama_chat": OLLAMA,
    "openrouter": Vendor("openrouter", "OPENROUTER_API_KEY"),
    "perplexity": Vendor("perplexity", "PERPLEXITYAI_API_KEY"),
    "sambanova": Vendor("sambanova", "SAMBANOVA_API_KEY"),
    "together_ai": Vendor("together", "TOGETHERAI_API_KEY"),
    "vllm": Vendor("vllm", "", "HOSTED_VLLM_API_BASE"),
    "xai": Vendor("xai", "XAI_API_KEY"),
    "zai": Vendor("zai", "ZAI_API_KEY"),
}
CLOUDS = (
    "azure",
    "azure_text",
    "azure_ai",
    "bedrock",
    "bedrock_converse",
    "vertex_ai",
    "vertex_ai_beta",
)
# How a model without a vendor begins -> its vendor, as LiteLLM's list of models has it.
_BY_MODEL = (
    ("claude", "anthropic"),
    ("command", "cohere"),
    ("gemini", "vertex_ai"),
    ("deepseek-", "deepseek"),
    ("anthropic.", "bedrock"),
    ("us.anthropic.", "bedrock"),
    ("amazon.", "bedrock"),
    ("meta.", "bedrock"),
)
# Words between the vendor and the model that choose one of a vendor's APIs.
_API_WORDS = re.compile(r"(?:converse|converse_like|invoke|chat|o_series|responses|gpt5_series)/")
# An Azure address: the resource, and what follows /openai.
_AZURE = re.compile(r"^((?:https?://)?[^?]*?)(?:/openai((?:/deployments/|/v1)[^?]*)?)?(?:\?.*)?$")
# The path of one operation, which LiteLLM accepts at the end of an address.
_OPERATION = re.compile(r"/(?:chat/completions|completions|messages|responses|embeddings)/?$")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d/")


@dataclass(slots=True)
class VendorAddress:
    """What a vendor's model needs here. `notes`: what means something else now, by key."""

    endpoint: ImportedEndpoint
    notes: dict[str, str] = field(default_factory=dict)


def split(model: str, vendor: str | None = None) -> tuple[str, str]:
    """Return the vendor of a model as LiteLLM writes it, and the model's own name."""
    if vendor:
        return vendor, model.removeprefix(f"{vendor}/")
    first, slash, rest = model.partition("/")
    if slash and (first in VENDORS or first in CLOUDS):
        return first, rest
    for start, known in _BY_MODEL:
        if model.startswith(start):
            return known, model
    if slash and not first.startswith("ft:"):
        return first, rest
    return "openai", model


def address(vendor: str, model: str, params: Params) -> VendorAddress | None:
    """Return how a vendor's model is reached; None if there is no way.

    `params`: LiteLLM's names: api_base, api_key, api_version, aws_..., vertex_....
    """
    model = _API_WORDS.sub("", model)
    if vendor in ("azure", "azure_text"):
        return _azure(model, params)
    if vendor == "azure_ai":
        return _foundry(model, params)
    if vendor.startswith("bedrock"):
        return _bedrock(model, params)
    if vendor.startswith("vertex_ai"):
        return _vertex(model, params)
    known = VENDORS.get(vendor)
    base = params.get("api_base")
    if known is None and not base:
        return None
    return _plain(known or COMPATIBLE, vendor, model, params)


def _plain(known: Vendor, vendor: str, model: str, params: Params) -> VendorAddress | None:
    found = VendorAddress(ImportedEndpoint(model))
    base = params.get("api_base")
    if not base and known.needs_base:
        if not known.base:
            return None
        base = f"os.environ/{known.base}"
    if vendor not in VENDORS:
        found.notes["model"] = (
            f"'{vendor}' is asked as a server with OpenAI's API. If it speaks another one, it "
            "cannot be asked from here."
        )
    if known.provider is not None and not (base and known is COMPATIBLE):
        found.endpoint.extra["provider"] = known.provider
    if base:
        found.endpoint.params["base_url"] = _joined(_OPERATION.sub("", base), known.suffix)
    if vendor == "gemini" and base:
        found.notes["api_base"] = (
            "Gemini is asked by its API for OpenAI's clients: the path is another."
        )
    key = params.get("api_key")
    if key is None and known.key and (known is not COMPATIBLE):
        key = f"${{{known.key}:-none}}" if known.no_key else f"os.environ/{known.key}"
    # A server that wants no key: the client's own is not passed on to it.
    found.endpoint.params["api_key"] = key or "none"
    return found


def _azure(model: str, params: Params) -> VendorAddress:
    found = VendorAddress(ImportedEndpoint(model))
    base = (params.get("api_base") or "os.environ/AZURE_API_BASE").rstrip("/")
    in_address = re.search(r"[?&]api-version=([^&]+)", base)
    version = params.get("api_version") or (in_address and in_address[1])
    root, path = _AZURE.sub(r"\1", base), _AZURE.sub(r"\2", base)
    if path.startswith("/v1") or version in ("preview", "latest", "v1"):
        found.endpoint.params["base_url"] = _joined(root, "/openai/v1/")
        if version in ("preview", "latest"):
            found.endpoint.params["default_query"] = {"api-version": version}
    else:
        deployment = re.match(r"/deployments/([^/?]+)", path)
        found.endpoint.params["azure_endpoint"] = root
        if deployment:
            found.endpoint.params["azure_deployment"] = deployment[1]
        if version is None:
            version = f"${{AZURE_API_VERSION:-{LITELLM_AZURE_VERSION}}}"
            found.notes["model"] = (
                f"No api_version is named: LiteLLM's default is written, {LITELLM_AZURE_VERSION}."
            )
        found.endpoint.params["api_version"] = version
    key = params.get("api_key")
    identity = [
        k for k in ("azure_ad_token", "tenant_id", "client_id", "client_secret") if params.get(k)
    ]
    if key is None and identity:
        found.endpoint.params["azure_ad_token_provider"] = "default"  # noqa: S105 - a kind of identity
        found.notes[identity[0]] = (
            "Tokens are fetched by the Azure identity library (pip install "
            "'llmproxy-gateway[entra]'): set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET, or run under a managed identity."
        )
    else:
        found.endpoint.params["api_key"] = key or "os.environ/AZURE_API_KEY"
    return found


def _foundry(model: str, params: Params) -> VendorAddress:
    base = (params.get("api_base") or "os.environ/AZURE_AI_API_BASE").rstrip("/")
    root = base if is_reference(base) else re.sub(r"/(models|openai|anthropic).*$", "", base)
    path = "/anthropic/v1/" if "claude" in model else "/openai/v1/"
    provider = "anthropic" if "claude" in model else "azure"
    endpoint = ImportedEndpoint(model, extra={"provider": provider})
    endpoint.params["base_url"] = _joined(root, path)
    endpoint.params["api_key"] = params.get("api_key") or "os.environ/AZURE_AI_API_KEY"
    note = f"Azure AI Foundry is asked at {path}. Check that the model is served there."
    return VendorAddress(endpoint, {"model": note})


def _bedrock(model: str, params: Params) -> VendorAddress:
    region = params.get("aws_region_name") or "os.environ/AWS_REGION"
    if match := _REGION.match(model):
        region, model = match[0].rstrip("/"), model[match.end() :]
    found = VendorAddress(ImportedEndpoint(model, extra={"provider": "bedrock"}))
    base = params.get("aws_bedrock_runtime_endpoint") or params.get("api_base")
    where = base or f"https://bedrock-runtime.{_inside(region)}.amazonaws.com"
    found.endpoint.params["base_url"] = where
    if key := params.get("api_key"):
        found.endpoint.params["api_key"] = key
    else:
        profile = params.get("aws_profile_name")
        found.endpoint.params["credentials"] = f"aws:{profile}" if profile else "aws"
    if "anthropic." not in model and model != "*":
        found.notes["model"] = (
            "It is asked through Bedrock's API for OpenAI's clients, which does not serve every "
            "model. Try it with `llmproxy doctor --live`."
        )
    for key in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
        if params.get(key):
            found.notes[key] = (
                "Keys of AWS are taken from where the AWS tools look. Set "
                f"{key.upper()} in the proxy's environment."
            )
    for key in ("aws_role_name", "aws_session_name", "aws_web_identity_token", "aws_sts_endpoint"):
        if params.get(key):
            found.notes[key] = (
                "Roles belong in a profile of ~/.aws/config (role_arn, source_profile); then write "
                "credentials: aws:PROFILE."
            )
    return found


def _vertex(model: str, params: Params) -> VendorAddress:
    project = _inside(params.get("vertex_project") or "os.environ/VERTEXAI_PROJECT")
    given = params.get("vertex_location") or params.get("vertex_ai_location")
    location = _inside(given or "os.environ/VERTEXAI_LOCATION")
    host = "aiplatform" if location == "global" else f"{location}-aiplatform"
    name = model if "/" in model or "claude" in model or model == "*" else f"google/{model}"
    found = VendorAddress(ImportedEndpoint(name, extra={"provider": "vertex"}))
    found.endpoint.params["base_url"] = (
        f"https://{host}.googleapis.com/v1/projects/{project}/locations/{location}"
    )
    credentials = params.get("vertex_credentials")
    file = isinstance(credentials, str) and not credentials.lstrip().startswith("{")
    found.endpoint.params["credentials"] = (
        f"google:{_inside(str(credentials))}" if file else "google"
    )
    if credentials and not file:
        found.notes["vertex_credentials"] = (
            "Save this service account as a file and write credentials: google:FILE. Now the "
            "default credentials of the machine are used."
        )
    return found


def _joined(base: str, suffix: str) -> str:
    """Return an address with the suffix that it lacks."""
    base = base.rstrip("/")
    if not suffix or base.endswith(suffix.rstrip("/")):
        return base
    return _inside(base) + suffix


def _inside(text: str) -> str:
    """Return a value as it is written inside a longer text."""
    return re.sub(r"^os\.environ/(\w+)$", r"${\1}", text)


def host_of(url: str) -> str:
    """Return the host of an address; the address itself if it is a reference."""
    return urlsplit(url).hostname or url

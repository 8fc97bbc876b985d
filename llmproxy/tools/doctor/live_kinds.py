"""What `llmproxy doctor --live` finds at endpoints: each with its cause and its remedy."""

from __future__ import annotations

from llmproxy.tools.doctor.kinds import FAULT, NOTE, WARNING, FindingKind

LIVE_KINDS = (
    # ---- an endpoint: reaching it
    FindingKind(
        "name_not_found",
        FAULT,
        "the name {host} does not resolve: {why}.",
        "Check the host in base_url, and this machine's DNS (getent hosts {host}).",
    ),
    FindingKind(
        "port_refused",
        FAULT,
        "{address} refuses connections: nothing listens there.",
        "Start the server, or correct host and port of base_url.",
    ),
    FindingKind(
        "port_silent",
        FAULT,
        "{address} does not answer: the attempt to connect timed out.",
        "Let the firewall pass TCP to it; behind a proxy, set HTTPS_PROXY.",
    ),
    FindingKind(
        "not_connected",
        FAULT,
        "no connection: {why}.",
        "Check network, routes and HTTPS_PROXY of this machine.",
    ),
    FindingKind(
        "proxy_unusable",
        FAULT,
        "it is reached through the proxy {proxy} of HTTPS_PROXY, and that fails: {why}.",
        "Correct HTTPS_PROXY, or write the endpoint's host into NO_PROXY if it needs no proxy.",
    ),
    FindingKind(
        "certificate_untrusted",
        FAULT,
        "nobody that this machine trusts has signed its certificate: {why}.",
        "Add its authority to the trusted ones (SSL_CERT_FILE=/path/ca.pem). If a firewall "
        "inspects TLS, that is the firewall's authority. If browsers trust it, its server leaves "
        "out an intermediate certificate: let its operator send the whole chain.",
    ),
    FindingKind(
        "certificate_expired",
        FAULT,
        "its certificate is not valid now: {why}.",
        "Let its operator renew it; if several endpoints have this, check this machine's clock.",
    ),
    FindingKind(
        "certificate_of_another_name",
        FAULT,
        "its certificate is for another name than {host}.",
        "Write the name of the certificate in base_url; an IP address needs one that contains it.",
    ),
    FindingKind(
        "tls_failed",
        FAULT,
        "TLS fails: {why}.",
        "Is it an https port? Write http:// in base_url if the server speaks no TLS. An old server "
        "may know only versions or ciphers that are refused here.",
    ),
    FindingKind(
        "certificate_ends_soon",
        WARNING,
        "its certificate ends on {date}, {days:.1f} days from now.",
        "Let its operator renew it.",
    ),
    # ---- an endpoint: what it answers
    FindingKind(
        "no_credential",
        NOTE,
        "it has no key of its own: clients send theirs, and doctor has none to try.",
        "Nothing, if that is meant; else add params.api_key: os.environ/NAME.",
    ),
    FindingKind(
        "no_model",
        NOTE,
        "it takes whatever model clients name, so doctor has none to try.",
        "Name one: --model NAME.",
    ),
    FindingKind(
        "no_token",
        FAULT,
        "no token for it can be had: {why}",
        "Check the identity (azure_ad_token_provider, credentials) that this machine has.",
    ),
    FindingKind(
        "credential_rejected",
        FAULT,
        "it rejects the key: {why}",
        "Put a valid key of this account and region into the variable that api_key names, and "
        "restart or reload.",
    ),
    FindingKind(
        "quota_exhausted",
        FAULT,
        "the account has no money or quota left: {why}",
        "Pay, or raise the quota at the vendor.",
    ),
    FindingKind(
        "model_not_found",
        FAULT,
        "it does not know {model}: {why}",
        "Correct `model` of the endpoint (at Azure: the deployment's name), or deploy it; or "
        "correct the path in base_url (it often ends in /v1).",
    ),
    FindingKind(
        "throttled",
        WARNING,
        "it refuses the call because of a limit: {why}",
        "Try again later; if it goes on, raise the limit at the vendor or set limits here.",
    ),
    FindingKind(
        "call_failed",
        FAULT,
        "the call fails: {why}",
        "See what it says; if that does not help, its log or the vendor's status page may.",
    ),
    FindingKind(
        "broken_answer",
        FAULT,
        "its answer breaks off, or is no HTTP: {why}.",
        "Is it the right port, and does base_url begin with https:// if it speaks TLS there? Else "
        "look at the server's log (does it want certificates of clients?), and for a firewall or "
        "proxy between.",
    ),
    FindingKind(
        "redirected",
        FAULT,
        "it sends the call elsewhere (status {status}): {place}",
        "Write the address of the API itself in base_url: calls follow no redirects. A login page "
        "means that something between wants you to sign in.",
    ),
    FindingKind(
        "no_answer",
        FAULT,
        "connected, but the answer did not {what} in {seconds:g} s.",
        "Is the model loading, or the server stuck? If answers may take so long, use --timeout.",
    ),
    FindingKind(
        "wrong_dialect",
        FAULT,
        "it answers with status {status}, but not as the {dialect} API does: {why}",
        "Check that base_url leads to the API (it often ends in /v1), and provider and speaks.",
    ),
    FindingKind(
        "broken_encoding",
        FAULT,
        "its answer says content-encoding: {encoding}, and cannot be decoded (gzip was asked for).",
        "Look at the server or proxy that compresses in front of it; switch compression off there.",
    ),
    FindingKind(
        "stream_broken",
        FAULT,
        "its stream ends before it is complete: {why}.",
        "Look for a proxy or load balancer between that cuts long answers (its idle timeout).",
    ),
    FindingKind(
        "stream_buffered",
        WARNING,
        "its stream comes in one piece: {events} events within {ms:.0f} ms, after {wait:.1f} s.",
        "Something between collects the stream: switch off buffering there (nginx: "
        "proxy_buffering off).",
    ),
    FindingKind(
        "slow_first_byte",
        WARNING,
        "the first byte of a small answer takes {seconds:.1f} s.",
        "Prefer another endpoint (tier, weight, strategy: latency), or set params.timeout.",
    ),
    FindingKind(
        "no_limit_headers",
        NOTE,
        "its answers do not say what is left of its limits: they are learned from 429s only.",
        "Write limits: {{rpm: ..., tpm: ...}} at the endpoint, if you know them.",
    ),
    FindingKind(
        "clock_off",
        FAULT,
        "this machine's clock differs by {minutes:.0f} minutes from the Date of its answers.",
        "Synchronise the clock (timedatectl set-ntp true): tokens and signatures are refused else. "
        "If other endpoints do not have this, it is that server's clock.",
    ),
    # ---- the same call, direct and through the proxy
    FindingKind(
        "no_proxy_answers",
        WARNING,
        "no proxy answers there, so nothing was compared with it: {why}.",
        "Start it, or correct --url.",
    ),
    FindingKind(
        "no_key_for_proxy",
        NOTE,
        "a proxy runs there, and was not called: it wants a key, and none is known.",
        "Set LLMPROXY_API_KEY to the key of a caller, if it is to be compared, too.",
    ),
    FindingKind(
        "key_unusable",
        WARNING,
        "it is no key: it has a space, a line break or a character outside ASCII.",
        "Set it to the key of a caller; a line break often comes from the file it was read from.",
    ),
    FindingKind(
        "proxy_changes_status",
        FAULT,
        "{what}: status {direct} directly, {through} through the proxy.",
        "The access log says what happened to the call; look for its x-request-id.",
    ),
    FindingKind(
        "proxy_changes_headers",
        WARNING,
        "{what}: headers differ through the proxy: {difference}.",
        "Look at what stands between client and proxy; of the proxy itself, report it as a defect.",
    ),
    FindingKind(
        "proxy_changes_answer",
        FAULT,
        "{what}: the answer differs through the proxy: {difference}.",
        "Look for what changes answers in front of the proxy; of the proxy itself, report it as a "
        "defect.",
    ),
    FindingKind(
        "proxy_changes_request",
        FAULT,
        "{what}: the endpoint gets another request through the proxy: {difference}.",
        "Report it as a defect, with this text.",
    ),
    FindingKind(
        "proxy_refuses",
        FAULT,
        "{what}: answered directly, but a proxy with this config does not ask the endpoint: {why}",
        "Mend what it names; if that is nothing of the config, report it as a defect.",
    ),
    FindingKind(
        "fails_at_times",
        WARNING,
        "{what}: the same call was answered once, and failed a moment later: {why}",
        "Run it again. If it goes on, look at the limits of the account and the vendor's status.",
    ),
    FindingKind(
        "proxy_buffers",
        WARNING,
        "the stream comes in pieces directly, and in one piece through the proxy at {url}.",
        "Something in front of the proxy collects streams: switch off buffering there (nginx: "
        "proxy_buffering off).",
    ),
    FindingKind(
        "proxy_fails",
        FAULT,
        "{what}: answered directly, but not through the proxy: {why}",
        "Does the key given (LLMPROXY_API_KEY) belong to a caller who may use the group? If it is "
        "no matter of the key, look at the proxy's log, and at what stands in front of it.",
    ),
)

#!/bin/sh
# Install what tests/deploy needs beside the packages of requirements/deploy.txt, where we may: bubblewrap,
# and promtool, alone, out of Debian's package of Prometheus.
# Tests whose program is missing are skipped, with the reason.
set -eu
install() {
    DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -y -qq --no-remove --no-install-recommends \
        -o DPkg::Lock::Timeout=60 "$@" >/dev/null 2>&1
}
if ! command -v bwrap >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing bubblewrap ..." >&2
    install bubblewrap || { timeout 60 apt-get update -qq >/dev/null 2>&1 && install bubblewrap; } || true
fi
# Only the program: the package would install a service.
if ! command -v promtool >/dev/null && [ ! -x .venv/bin/promtool ] && command -v apt-get >/dev/null; then
    echo "Fetching promtool ..." >&2
    folder=$(mktemp -d)
    # apt fetches as a user of its own, who has to write there
    chmod 777 "$folder"
    fetch() { (cd "$folder" && timeout 120 apt-get download -qq prometheus >/dev/null 2>&1); }
    { fetch || { timeout 60 apt-get update -qq >/dev/null 2>&1 && fetch; }; } \
        && dpkg -x "$folder"/prometheus_*.deb "$folder/root" && cp "$folder/root/usr/bin/promtool" .venv/bin/ || true
    rm -rf "$folder"
fi

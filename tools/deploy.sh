#!/bin/sh
# Install what tests/deploy needs beside the packages of requirements/deploy.txt, where we may: bubblewrap.
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

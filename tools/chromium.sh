#!/bin/sh
# Print where Chromium is. Where it is not, install Debian's when we may, and say what to do when we
# may not. No browser is ever downloaded from elsewhere.
#
# The headless shell is the same engine without windows, tabs and menus of its own: a page in it takes
# a fifth of the processor time. Any other Chromium will do.
set -eu
shell=chromium-headless-shell
found() { command -v "$shell" || command -v chromium || command -v chromium-browser || command -v google-chrome; }

install() {
    echo "Installing $1 ..." >&2
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-remove --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$1" fonts-dejavu-core >/dev/null 2>&1
}

renew_lists() { timeout 120 apt-get update -qq >/dev/null 2>&1; }

if ! command -v "$shell" >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install "$shell" || { renew_lists && install "$shell"; } || found >/dev/null || install chromium || true
fi
found || {
    echo "The tests in a browser need Chromium. Install it with: sudo apt install $shell, or chromium" >&2
    exit 1
}

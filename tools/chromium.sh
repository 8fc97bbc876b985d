#!/bin/sh
# Print where Chromium is. Where it is not, install Debian's when we may, and say what to do when we
# may not. No browser is ever downloaded from elsewhere.
set -eu
found() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

if ! found >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing chromium ..." >&2
        apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    else
        echo "The tests in a browser need Chromium. Install it with: sudo apt install chromium" >&2
        exit 1
    fi
fi
found

#!/bin/sh
# Check the types of the dashboard's scripts with TypeScript; nothing is built or shipped.
set -eu
if ! command -v npm >/dev/null 2>&1; then
    echo "The dashboard's scripts are not checked: there is no npm. Install Node.js 20 or newer."
    exit 0
fi
mkdir -p .venv/js
if ! cmp -s tools/js/package-lock.json .venv/js/package-lock.json; then
    cp tools/js/package.json .venv/js/
    cp tools/js/package-lock.json .venv/js/
    (cd .venv/js && npm ci --no-audit --no-fund --loglevel error) \
        || { rm -f .venv/js/package-lock.json; exit 1; }
fi
.venv/js/node_modules/.bin/tsc -p tools/js
echo "The dashboard's scripts pass the type check."

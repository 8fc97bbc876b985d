#!/bin/sh
# Install the agents that tests/agents runs, as tools/agents/package-lock.json has them, and run it.
set -eu
if ! command -v npm >/dev/null 2>&1; then
    echo "The agents come from npm. Install Node.js 20 or newer." >&2
    exit 1
fi
mkdir -p .venv/agents
if ! cmp -s tools/agents/package-lock.json .venv/agents/package-lock.json; then
    cp tools/agents/package.json .venv/agents/
    cp tools/agents/package-lock.json .venv/agents/
    (cd .venv/agents && npm ci --no-audit --no-fund --loglevel error) \
        || { rm -f .venv/agents/package-lock.json; exit 1; }
fi
CODEX="$PWD/.venv/agents/node_modules/.bin/codex" .venv/bin/python -m pytest tests/agents "$@"

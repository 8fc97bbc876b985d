#!/bin/sh
# Resolve every lock in requirements/ for all platforms and Pythons, with hashes.
set -eu
uv="$(dirname "$0")/../.venv/bin/uv"
compile() { "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" "$@"; }
compile pyproject.toml -o requirements/run.txt
for group in dev bench e2e; do
    compile pyproject.toml --group "$group" -c requirements/run.txt -o "requirements/$group.txt"
done

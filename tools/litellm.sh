#!/bin/sh
# Compares routing with LiteLLM's own Router, and tries its SDK as a client. LiteLLM is installed
# apart, in .venv-litellm, and updated when the version below changes.
set -eu
version=1.110.2
folder=.venv-litellm
if [ ! -e "$folder/$version" ]; then
    rm -rf "$folder"
    .venv/bin/python -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check "litellm==$version"
    touch "$folder/$version"
fi
LITELLM_PYTHON="$PWD/$folder/bin/python"
export LITELLM_PYTHON
[ $# -gt 0 ] || set -- tests/tools/importing/test_comparing.py tests/litellm_habits/test_sdk.py
exec .venv/bin/python -m pytest "$@"

#!/bin/sh
# Make .venv with the Python given, or else with the best one of this machine. Debian and Ubuntu
# ship Python without its venv module: install that when we may, and say what to do when we may not.
set -eu
python=${1:-}
why=""

if [ -z "$python" ]; then
    found=$(sh "$(dirname "$0")/choose_python.sh")
    python=${found%%"$(printf '\t')"*}
    why=": ${found#*"$(printf '\t')"}; make PYTHON=... takes another"
    python=${python:-python3} # not there or too old: told below
fi
command -v "$python" >/dev/null || { echo "LLMProxy needs Python 3.11 or newer: apt install python3" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "LLMProxy needs Python 3.11 or newer, found $("$python" --version). Try: make PYTHON=python3.12" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package (Python's venv module) ..."
        apt-get update -qq >/dev/null && apt-get install -y -qq "$package" >/dev/null
    else
        echo "Python's venv module is missing. Install it with: sudo apt install $package" >&2
        exit 1
    fi
fi
echo "Making .venv with $python$why ..."
"$python" -m venv .venv

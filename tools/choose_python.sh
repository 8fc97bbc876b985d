#!/bin/sh
# Print the best Python of some folders, by default those of PATH, /usr/bin and /usr/local/bin: a
# supported one, with its venv module, built with PGO and LTO, the newest; of equals the first.
# Output: its path, a tab, what it is and how many were found. Nothing if there is none.
set -eu
script=$(dirname "$0")/../llmproxy/interpreter.py
if [ $# = 0 ]; then
    IFS=:
    # shellcheck disable=SC2086 # splits PATH into its folders
    set -- $PATH /usr/bin /usr/local/bin
    unset IFS
fi
tab=$(printf '\t')
for folder in "$@"; do
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        python=$folder/$name
        [ -x "$python" ] || continue
        # A shim whose version is not installed, or an older Python, fails.
        found=$("$python" -I "$script" 2>/dev/null) || continue
        printf '%s\t%s\n' "$found" "$python"
    done
done | LC_ALL=C sort -s -r -t "$tab" -k 1,1 | awk -F "$tab" '
    NR == 1 { path = $3; words = $2 }
    !($2 in kinds) { kinds[$2]; count++ }
    END { if (NR) print path "\t" words (count > 1 ? ", the best of " count " found" : "") }'

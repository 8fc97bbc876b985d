"""The completion script of bash. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmproxy.tools.completion.words import CommandPlace, Value

HEAD = """\
# Completion of llmproxy for bash, written by `llmproxy completion bash`.
_llmproxy() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} place="" word words=""
  COMPREPLY=()
"""
FOOT = """\
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _llmproxy llmproxy
"""


def script(places: Sequence[CommandPlace]) -> str:
    """Return the script. `-o default`: where nothing fits, bash completes files."""
    return HEAD + "\n".join([*_walk(places), *_values(places), *_words(places), FOOT])


def _walk(places: Sequence[CommandPlace]) -> Iterator[str]:
    """Find the command and action among the words that stand there already."""
    known = "|".join(f'" {" ".join(place.path)}"' for place in places if place.path)
    yield '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield f'    case "$place $word" in {known}) place="$place $word" ;; esac'
    yield "  done"


def _values(places: Sequence[CommandPlace]) -> Iterator[str]:
    yield '  case "$place $prev" in'
    for place in places:
        for option in place.options:
            at = " ".join(["", *place.path, option.name])
            if option.value is Value.CHOICE:
                choices = " ".join(option.choices)
                yield f'    "{at}") COMPREPLY=($(compgen -W "{choices}" -- "$cur")); return ;;'
            elif option.value is not Value.NONE:
                yield f'    "{at}") return ;;'
    yield "  esac"


def _words(places: Sequence[CommandPlace]) -> Iterator[str]:
    yield '  case "$place" in'
    for place in places:
        options = " ".join(option.name for option in place.options)
        words = " ".join(name for name, _ in place.words)
        at = " ".join(["", *place.path])
        yield f'    "{at}") words="{words}"; [[ $cur == -* ]] && words="{options}" ;;'
    yield "  esac"

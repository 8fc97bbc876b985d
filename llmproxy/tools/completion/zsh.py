"""The completion script of zsh. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmproxy.tools.completion.words import CommandPlace, Value

HEAD = """\
#compdef llmproxy
# Completion of llmproxy for zsh, written by `llmproxy completion zsh`. Put it into a folder of
# $fpath as _llmproxy, or source it after compinit.
_llmproxy() {
  local place="" word previous=${words[CURRENT-1]}
  local -a entries options
"""
FOOT = """\
  if [[ ${words[CURRENT]} == -* ]]; then
    _describe option options
  elif (( $#entries )); then
    _describe word entries
  else
    _files
  fi
}
if [[ "${funcstack[1]}" == _llmproxy ]]; then _llmproxy "$@"; else compdef _llmproxy llmproxy; fi
"""


def script(places: Sequence[CommandPlace]) -> str:
    """Return the script."""
    return HEAD + "\n".join([*_walk(places), *_values(places), *_words(places), FOOT])


def _walk(places: Sequence[CommandPlace]) -> Iterator[str]:
    known = "|".join(f'" {" ".join(place.path)}"' for place in places if place.path)
    yield '  for word in "${(@)words[2,CURRENT-1]}"; do'
    yield f'    case "$place $word" in ({known}) place="$place $word" ;; esac'
    yield "  done"


def _values(places: Sequence[CommandPlace]) -> Iterator[str]:
    yield '  case "$place $previous" in'
    for place in places:
        for option in place.options:
            at = " ".join(["", *place.path, option.name])
            match option.value:
                case Value.CHOICE:
                    yield f'    ("{at}") compadd -- {" ".join(option.choices)}; return ;;'
                case Value.FILE:
                    yield f'    ("{at}") _files; return ;;'
                case Value.OTHER:
                    yield f'    ("{at}") return ;;'
    yield "  esac"


def _words(places: Sequence[CommandPlace]) -> Iterator[str]:
    yield '  case "$place" in'
    for place in places:
        at = " ".join(["", *place.path])
        entries = " ".join(_entry(name, text) for name, text in place.words)
        options = " ".join(_entry(option.name, option.text) for option in place.options)
        yield f'    ("{at}") entries=({entries}); options=({options}) ;;'
    yield "  esac"


def _entry(name: str, text: str) -> str:
    shown = f"{name}:{text}" if text else name
    return "'" + shown.replace("'", "'\\''") + "'"

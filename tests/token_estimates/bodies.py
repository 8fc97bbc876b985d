"""Request bodies of many kinds with the tokens that a real tokenizer counted in them.

`estimate_corpus.json` holds texts, recipes of bodies made of them, and the counts; its `about` says
where these come from.
"""

import json
from pathlib import Path
from random import Random

_CORPUS = json.loads(Path(__file__).with_name("estimate_corpus.json").read_text(encoding="utf-8"))
_REPEATED = ("german", "chinese")
_TEXTS = {
    name: text * _CORPUS["repeated"] if name in _REPEATED else text
    for name, text in _CORPUS["texts"].items()
}
STYLES = tuple(_CORPUS["calls"])


def calls(*styles, seed=0):
    """(body, operation, tokens) of every call of these styles, shuffled."""
    found = [
        (_body(recipe), "embeddings" if "input" in recipe else "chat/completions", tokens)
        for style in styles
        for recipe, tokens in _CORPUS["calls"][style]
    ]
    Random(seed).shuffle(found)
    return found


def _body(recipe):
    if "input" in recipe:
        asked = {"input": [_text(*piece) for piece in recipe["input"]], "model": "embed"}
    else:
        messages = [{"role": turn[0], "content": _content(*turn)} for turn in recipe["messages"]]
        asked = {"messages": messages, "model": "gpt-4.1"}
    if "tools" in recipe:
        asked["tools"] = [_CORPUS["tools"][number] for number in recipe["tools"]]
    escaped = recipe.get("escaped", False)
    return json.dumps(asked, ensure_ascii=escaped, separators=(",", ":")).encode()


def _content(role, number, piece):
    """Return the content of a message: a prepared sentence, a piece of a text, or both."""
    sentences = _CORPUS["systems" if role == "system" else "questions"]
    said = [] if number is None else [sentences[number]]
    return "\n\n".join(said + ([_text(*piece)] if piece else []))


def _text(name, start, end):
    if name == "records":
        return json.dumps(_CORPUS["records"][start:end])
    return _TEXTS[name][start:end]

"""Which of LiteLLM's paths are the operator's, and what to use where one is not answered."""

from __future__ import annotations

# First segments of paths, and whole paths below /v1/.
CONTROL_PATHS = frozenset(
    (
        *(b"key", b"team", b"model", b"model_group", b"/v1/model/info", b"v2"),
        *(b"user", b"customer", b"end_user", b"organization", b"budget"),
        *(b"spend", b"global", b"cache", b"utils", b"routes", b"settings"),
    )
)

# The beginning of a path that is not answered -> what to use instead.
INSTEAD = {
    "/cache": "Use `DELETE /admin/cache` or `llmproxy cache purge`.",
    "/spend": "Use `GET /admin/spend?by=team,model` or `llmproxy spend`.",
    "/global": "Use `GET /admin/spend?by=team,model` or `llmproxy spend`.",
    "/budget": "Use `GET /admin/budgets`.",
    "/user": "There are no users here: `owner` and `team` of a key say whose it is. Use "
    "`GET /admin/keys?search=NAME`.",
    "/customer": "Use `GET /admin/spend?by=end_user`.",
    "/end_user": "Use `GET /admin/spend?by=end_user`.",
    "/organization": "There are no organizations here: use teams.",
    "/model": "Model groups are in the config file, which is read again when it changes.",
    "/v2/model": "Use `GET /model/info`.",
    "/key": "Use `/admin/keys` or `llmproxy keys`.",
    "/team": "Use `/admin/teams` or `llmproxy teams`.",
    "/settings": "Use `llmproxy check --show` and `GET /admin/state`.",
    "/utils": "Nothing takes its place.",
}


def instead_of(path: str) -> str:
    """Return what to use instead of a path of LiteLLM's that is not answered."""
    for beginning, hint in INSTEAD.items():
        if path.startswith(beginning + "/") or path == beginning:
            return hint
    return "See docs/reference/litellm-habits.md."

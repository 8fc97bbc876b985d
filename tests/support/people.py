"""Operators of a proxy, one of each role."""

OPERATORS = [
    {"name": "ann", "key": "sk-ann-admin", "role": "admin"},
    {"name": "vic", "key": "sk-vic-viewer"},
    {"name": "tea", "key": "sk-tea-team", "role": "team", "team": "search"},
]
ADMIN_KEY = "sk-admin-secret"
# What each sends; `nobody` sends nothing.
PEOPLE = {
    "admin": [("authorization", f"Bearer {ADMIN_KEY}")],
    "ann": [("authorization", "Bearer sk-ann-admin")],
    "vic": [("authorization", "Bearer sk-vic-viewer")],
    "tea": [("authorization", "Bearer sk-tea-team")],
    "nobody": [],
}

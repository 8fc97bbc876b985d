"""Imports, before workers are forked, what each of them would import after it."""

from importlib import import_module

from llmproxy.composition.packages import has

# Battery -> modules that are imported late elsewhere, because they are slow to import: FastAPI,
# redis-py, SQLAlchemy.
SLOW = {
    "admin": ("app",),
    "shared_state": ("opening",),
    "budgets": ("sync",),
    "store": ("engines", "schema"),
}


def import_slow_modules() -> None:
    """Import the slow modules of the installed batteries."""
    for battery, modules in SLOW.items():
        for module in modules if has(battery) else ():
            import_module(f"llmproxy.batteries.{battery}.{module}")

"""The application: what it answers itself, and errors as HTTP answers."""

from llmproxy.app.application import App, Habits, Upgrade
from llmproxy.app.rendering import error_answer

__all__ = ["App", "Habits", "Upgrade", "error_answer"]

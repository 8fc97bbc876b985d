"""Commands of other programs, and what does their job here."""

from __future__ import annotations

SAVE = (
    "Save the config: the proxy reads it by itself. `kill -HUP PID` and `curl -X POST "
    "ADDRESS/admin/reload` make it read the file at once."
)
STATE = "`llmproxy top` shows a running proxy, and `llmproxy top --once` prints its state."
LOGS = (
    "The proxy writes one line for each call to stdout and everything else to stderr, so the logs "
    "are where its process is started, such as `journalctl -u llmproxy`."
)
END = "Send SIGTERM, or Ctrl+C in its terminal: it finishes the calls that are under way and ends."
START = "`llmproxy serve` starts the proxy, and `llmproxy demo` one without keys."
CHECK = "`llmproxy check` checks the config, and `llmproxy check --show` prints it."
SPEND = "`llmproxy spend` shows what calls have cost."
PAGE = "A running proxy has its dashboard at /dashboard of its address."

WORDS = {
    **dict.fromkeys(("reload", "restart", "refresh"), SAVE),
    **dict.fromkeys(("status", "health", "ps", "stats", "monitor", "watch", "info"), STATE),
    **dict.fromkeys(("logs", "log"), LOGS),
    **dict.fromkeys(("stop", "down", "kill", "quit"), END),
    **dict.fromkeys(("start", "run", "up", "server", "proxy"), START),
    **dict.fromkeys(("config", "validate", "test", "lint", "verify", "show"), CHECK),
    **dict.fromkeys(("cost", "costs", "usage", "billing"), SPEND),
    **dict.fromkeys(("ui", "dashboard", "web", "admin"), PAGE),
    "models": "`curl ADDRESS/v1/models` lists the models of a running proxy.",
    "migrate": "`llmproxy db upgrade` upgrades the tables of the database.",
    **dict.fromkeys(("setup", "configure", "new"), "`llmproxy init` writes a config."),
    "bench": "`llmproxy simulate` tries a config against modelled endpoints.",
}

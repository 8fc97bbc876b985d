"""Sends alerts to webhooks, in threads: urllib is slow, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from time import time
from urllib.error import HTTPError, URLError

from llmproxy.batteries.alerts.alert import SIGNATURE_HEADER, Alert, Webhook, body_of, signature

logger = logging.getLogger("llmproxy")

WITHIN_S = 10.0
PAUSES_S = (1.0, 5.0, 30.0, 120.0, 600.0)  # before the next tries
MAX_WAITING = 100


class Sender:
    """Owns the alerts that are on their way. `pauses_s`: shorter in tests."""

    def __init__(
        self, targets: tuple[Webhook, ...], pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._targets = targets
        self._pauses_s = pauses_s
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, alert: Alert) -> None:
        """Send an alert to all targets, in the background."""
        for number, target in enumerate(self._targets, 1):
            if len(self._under_way) >= MAX_WAITING:
                logger.warning(
                    "An alert was not sent, because %d wait: %s", MAX_WAITING, alert.text
                )
                return
            task = asyncio.get_running_loop().create_task(self._deliver(alert, target, number))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def close(self, within_s: float = 1.0) -> None:
        """Wait a moment for what is on its way, and give up the rest."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _deliver(self, alert: Alert, target: Webhook, number: int) -> None:
        for pause_s in (*self._pauses_s, None):
            why = await asyncio.to_thread(self._post, alert, target)
            if why is None:
                return
            if pause_s is None:
                break
            await asyncio.sleep(pause_s)
        logger.warning(
            "The alert webhook %d does not take an alert (%s): %s", number, why, alert.text
        )

    def _post(self, alert: Alert, target: Webhook) -> str | None:
        """Post an alert once; return why it failed, without the address, which may be secret."""
        # A redirect is not followed: a signed body goes to the address of the config only.
        from llmproxy.batteries.without_redirects import opened  # noqa: PLC0415 - slow

        body = body_of(alert, target)
        headers = {"content-type": "application/json", "user-agent": "llmproxy"}
        if target.secret is not None:
            headers[SIGNATURE_HEADER] = signature(target.secret, body, time())
        try:
            with opened(target.url, body, headers, within_s=WITHIN_S):
                return None
        except HTTPError as error:
            error.close()
            return f"status {error.code}"
        except URLError as error:
            return str(error.reason)
        except (OSError, ValueError) as error:
            return type(error).__name__

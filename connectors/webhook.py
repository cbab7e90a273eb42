"""Say something to an HTTP address as JSON, with patience: for alarms."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from streams.errors import DriftlineError

PAUSES_S = (1.0, 5.0)
TIMEOUT_S = 10.0


class WebhookError(DriftlineError):
    """The address refused, or could not be reached."""


def post(url: str, value: Mapping[str, Any], pauses_s: Sequence[float] = PAUSES_S) -> int:
    """POST one JSON object; returns the status. Tried again after 429, 5xx and network failures; WebhookError when it stays so.

    The address is never part of a message: it often carries a secret.
    """
    if not url.startswith(("http://", "https://")):
        raise WebhookError("the webhook is no http:// or https:// address; see DRIFTLINE_WEBHOOK or [alerts] webhook.")
    body = json.dumps(value).encode()
    reason = ""
    for pause in (*pauses_s, None):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "driftline"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            reason = f"it answered {error.code}"
            if error.code != 429 and error.code < 500:
                break
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            reason = f"it cannot be reached: {getattr(error, 'reason', error)}"
        if pause is not None:
            time.sleep(pause)
    raise WebhookError(f"the webhook was not told: {reason}.")

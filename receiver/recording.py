"""Writes redacted traffic into a file that is evidence of what 8x8 does (`crm-receiver record`).

In: a request on a trigger URL with its answer, a call of the CRM API with its reply. Out: one line
of JSON each, appended in one write, so that several processes share a file. What is recorded goes
its usual way, stored before 200; where the file cannot be written, recording ends and nothing
else. Killed here: the file ends early, perhaps within a line, which a reader leaves out.

The first line is {"what": "recording", "at", "format": 1, "made_by"}, the last {"what": "end",
"at"}.

A trigger: {"what": "trigger", "at", "method", "http", "scheme", "tls", "path", "query", "headers",
"other_headers", "body_bytes", "status", "call", "after_s", "step"}. `call` counts calls of the same
path and query, `after_s` is the time since the one before; `step` is how far the number of a record
that is created lies from the one created before.

A call of the CRM API: {"what": "call", "at", "took_ms", "why", "endpoint", "request_type",
"request", "status", "headers", "other_headers", "bytes", "body", "unkept"}. `why` is "work",
"read", "list" or a probe's name; `status` is null where no answer came; `bytes` are "ascii",
"utf-8" or "other"; `body` is null where `unkept` is "no XML" or "too large".
"""

import errno
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from receiver.clock import Clock
from receiver.redaction import Redaction
from receiver.settings import Misconfigured, Settings

log = structlog.get_logger()

FORMAT = 1
VARIABLE = "CRM_RECEIVER_RECORDING"  # by which `record` tells the processes it starts
_MATTERS = (
    *("accept", "accept-encoding", "connection", "content-length", "content-type"),
    *("retry-after", "server", "transfer-encoding", "user-agent"),
)


def begin(path: Path, settings: Settings, clock: Clock, *, overwrite: bool) -> "Recording":
    """A new file that its owner alone can read. Raises Misconfigured."""
    try:
        if overwrite:
            path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Misconfigured(
            f"{path} is there already. Name another file, or add --overwrite."
        ) from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from None
    recording = Recording(path.absolute(), secrets.token_bytes(32), settings, clock)
    made_by = f"crm-receiver {version('crm-trigger-kit')}"
    recording.write({"what": "recording", "format": FORMAT, "made_by": made_by})
    return recording


def going_on(settings: Settings, clock: Clock) -> "Recording | None":
    """The recording that this process was started for, or None."""
    told = os.environ.get(VARIABLE)
    if not told:
        return None
    given = json.loads(told)
    key, refused = bytes.fromhex(given["key"]), int(given["refuse_first"])
    return Recording(Path(given["file"]), key, settings, clock, refuse_first=refused)


class Recording:
    """Appends to a recording; never raises into what is recorded."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        settings: Settings,
        clock: Clock,
        refuse_first: int = 0,
    ) -> None:
        """refuse_first: how many calls of each trigger are answered 503 although it is stored."""
        self.path = path
        self.refuse_first = refuse_first
        self.clock = clock
        self.redaction = Redaction(key, _hidden(settings))
        self._key = key
        self._secrets = [secret.encode() for secret in settings.secrets]
        self._incomplete = False

    def for_children(self, refuse_first: int) -> dict[str, str]:
        """The environment by which processes go on with this recording."""
        told = {"file": str(self.path), "key": self._key.hex(), "refuse_first": refuse_first}
        return {VARIABLE: json.dumps(told)}

    def knows(self, secret: str) -> bool:
        """Whether a path has one of the secrets: what else comes is not from 8x8."""
        given = secret.encode(errors="replace")
        return sum(hmac.compare_digest(given, own) for own in self._secrets) > 0

    def write(self, line: Mapping[str, Any], at: datetime | None = None) -> None:
        """Append one line."""
        if self._incomplete:
            return
        when = (at or self.clock.now()).isoformat(timespec="milliseconds")
        told = {"what": line["what"], "at": when}
        told |= {n: self.redaction.without_words(v) for n, v in line.items() if n != "what"}
        data = f"{json.dumps(told)}\n".encode()
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(handle, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as error:
            self._incomplete = True
            log.error("recording ended early", reason=error.strerror)

    def end(self) -> tuple[int, int]:
        """Write the last line; how many triggers and calls there are. Raises Misconfigured."""
        self.write({"what": "end"})
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise Misconfigured(f"{self.path} is lost: {error.strerror}.") from None
        found = [line.partition(b'"what": "')[2].partition(b'"')[0] for line in lines]
        return found.count(b"trigger"), found.count(b"call")


def _hidden(settings: Settings) -> dict[str, str]:
    """The words of the settings that nobody shall read, and what stands for them."""
    return {
        settings.tenant: "TENANT",
        settings.username: "USERNAME",
        settings.password.get_secret_value(): "PASSWORD",
        settings.api_key.get_secret_value(): "APIKEY",
        **dict.fromkeys(settings.secrets, "SECRET"),
    }


def sort_headers(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Those that matter, and the names of the others."""
    matter = {name: value for name, value in given.items() if name in _MATTERS}
    return matter, sorted(name for name in given if name not in matter)

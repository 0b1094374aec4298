"""What the simulator says while it works: one event per hop, on standard error.

In: the format, `console` or `json`. Out: events printed through structlog. Where nobody asked for
that, as in a test that embeds a simulator, they go to the standard library's loggers, which keep
them to themselves unless they are errors, whatever structlog does for the embedding program.

The events are named after the steps: enqueue, claim_due, send, record. No event carries a trigger
URL, a password or a key: ids lead to the delivery, whose page shows the rest.
"""

import logging
import sys
from typing import Any, ClassVar, TextIO

import structlog
from structlog.typing import Processor


class Log:
    """Says what happens, under the name of a part."""

    # Not structlog's own configuration: that belongs to the program which embeds a simulator.
    printer: ClassVar[Any] = None

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **values: Any) -> None:
        """Of use to whoever searches for a mistake."""
        self._say("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """A step was done."""
        self._say("info", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Something failed."""
        self._say("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Something failed, with the trace of the exception that is handled."""
        self._say("exception", event, values)

    def _say(self, level: str, event: str, values: dict[str, Any]) -> None:
        if self.printer is not None:
            getattr(self.printer, level)(event, **values)
        else:
            said = " ".join([event, *(f"{name}={value!r}" for name, value in values.items())])
            getattr(logging.getLogger(self._name), level)(said)


def set_up_logs(log_format: str = "console", stream: TextIO | None = None) -> None:
    """Send events of level info and above to `stream` (standard error) in the given format."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The plain trace: the rich one shows local variables, secrets among them.
        shared.append(
            structlog.dev.ConsoleRenderer(
                colors=(stream or sys.stderr).isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        )
    Log.printer = structlog.wrap_logger(
        structlog.PrintLogger(file=stream or sys.stderr),
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    # urllib3 warns with the whole URL, which may hold a receiver's secret.
    for library in ("urllib3", "apscheduler", "werkzeug"):
        logging.getLogger(library).setLevel(logging.CRITICAL)

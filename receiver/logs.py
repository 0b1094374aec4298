"""Events of the receiver as lines on standard error, for people or as JSON. Never a secret."""

import logging
import sys

import structlog


def configure(log_format: str) -> None:
    """Set up structlog once per process; log_format: console or json."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # A plain trace: the default one shows local variables, among them the secret.
        plain = structlog.dev.plain_traceback
        shared.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        )
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # A line in one write: several processes share one stream.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )

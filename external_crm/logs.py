"""Events of the dashboard as lines on standard error, without customers' data."""

import sys

import structlog


def configure() -> None:
    """Set up structlog once per process."""
    # A plain trace: the default one shows local variables, and so customers' data.
    plain = structlog.dev.plain_traceback
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

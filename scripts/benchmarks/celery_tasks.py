"""A Celery task per trigger, Redis as its broker: what a user with a queue would write.

In: BENCH_NAIVE_DATABASE_URL, BENCH_NAIVE_API_URL, BENCH_CELERY_QUEUE and BENCH_REDIS_URL. Out: an
application for `celery -A scripts.benchmarks.celery_tasks worker`.
"""

import os
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError

from scripts.benchmarks.canned import bringing

__all__ = ["OperationalError", "app", "bring"]

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery(broker=REDIS_URL)
app.conf.task_default_queue = os.environ.get("BENCH_CELERY_QUEUE", "crm-trigger-kit-bench")
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True

_bring: dict[
    int, Callable[[str], bool]
] = {}  # by process: neither engine nor session may be shared


@app.task  # type: ignore[untyped-decorator]
def bring(account_id: str) -> None:
    """What the naive script does, outside the request."""
    own = _bring.get(os.getpid())
    if own is None:
        url, api = os.environ["BENCH_NAIVE_DATABASE_URL"], os.environ["BENCH_NAIVE_API_URL"]
        own = _bring[os.getpid()] = bringing(url, api)
    own(account_id)

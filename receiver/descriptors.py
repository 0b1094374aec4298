"""A web process that has run out of file descriptors, and is of no use any more.

In: nothing. Out: the end of this process, once for seconds none was to be had; granian starts
another. Whoever opens TLS connections and says nothing takes a descriptor each until a time limit
frees it, but granian's listener asks for further ones instead of ending those: once they are used
up it takes no connection ever again. Killed here: as by itself, unanswered triggers come again.
"""

import errno
import os
import threading

import structlog

log = structlog.get_logger()

_EVERY_S = 1.0
_PATIENCE = 5  # looks in a row


def watch() -> None:
    """Look every now and then, in a thread."""
    threading.Thread(target=_watch, name="descriptors", daemon=True).start()


def _watch() -> None:
    missing = 0
    while missing < _PATIENCE:
        missing = missing + 1 if _none_left() else 0
        threading.Event().wait(_EVERY_S)
    log.error("out of descriptors", reason="The web process starts anew. Raise LimitNOFILE.")
    os._exit(1)


def _none_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False

"""Spoils a connection instead of a reply: silence, a reset, a drip.

In: the socket of a caller that waits for its reply. Out: what a server iterates over to send;
it ends in ConnectionAbortedError where the connection is to be closed as it is. A caller that
leaves, or a server that shuts the socket down, ends each of these within a moment. Killed here:
the connection is gone with the process.

A caller in the same process has no socket. It sees ConnectionAbortedError at once, or all bytes.
"""

import math
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

_LOOK_EVERY_S = 0.1  # whether the fault is still there
_DRIP_EVERY_S = 0.05
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


def silence(
    sock: socket.socket | None, delay_s: float, goes_on: Callable[[], bool]
) -> Iterator[bytes]:
    """Not a byte until the caller is gone, the fault is, or the time is up; then the end."""

    def begin() -> bytes:
        _wait(sock, delay_s, goes_on)
        raise ConnectionAbortedError("No reply, on purpose.")

    return iter(begin, b"")


def reset(sock: socket.socket | None) -> Iterator[bytes]:
    """Not a byte, and a connection that is closed with RST."""

    def begin() -> bytes:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError("The connection is reset, on purpose.")

    return iter(begin, b"")


def drip(
    sock: socket.socket | None, data: bytes, delay_s: float, goes_on: Callable[[], bool]
) -> Iterator[bytes]:
    """All of it over so many seconds; the rest at once when the fault is gone."""
    pieces = max(1, min(len(data), round(delay_s / _DRIP_EVERY_S)))
    size = max(1, math.ceil(len(data) / pieces))
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]
        _wait(sock, delay_s / pieces, goes_on)


def _wait(sock: socket.socket | None, delay_s: float, goes_on: Callable[[], bool]) -> None:
    if sock is None:
        return
    ends_at = time.monotonic() + delay_s
    poll = select.poll()
    poll.register(sock.fileno(), _GONE)
    while goes_on() and (remaining_s := ends_at - time.monotonic()) > 0:
        if poll.poll(1000 * min(remaining_s, _LOOK_EVERY_S)):
            raise ConnectionAbortedError("The caller is gone.")

"""A total deadline for one HTTP call, in whatever phase it hangs.

In: a number of seconds. Out: a connected socket, and the certainty that it is cut off when the
time is up. Killed here: the call is gone with the process; its delivery's lease runs out.

A socket's timeout starts anew with every byte, so an answer that drips holds its caller for
ever. Here a timer shuts the connection down from outside, through a duplicate of the socket
that stays valid while TLS takes over the original. The timer is a thread, so it is started only
once there is a connection: until then the socket's own timeout is enough.
"""

import socket
import time
from threading import Lock, Timer

PHASES = ("connection", "TLS handshake", "complete answer")


class Deadline:
    """The time that one call may take; a context manager around the call."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.phase = PHASES[0]  # what the call is waiting for
        self.passed = False
        self.cancelled = False  # cut off because the simulator stops
        self._ends_at = time.monotonic() + timeout_s
        self._duplicates: list[socket.socket] = []
        self._lock = Lock()
        self._timer: Timer | None = None

    def __enter__(self) -> "Deadline":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        with self._lock:
            for duplicate in self._duplicates:
                duplicate.close()
            self._duplicates.clear()

    def cancel(self) -> None:
        """Cut the call off now."""
        self.cancelled = True
        self._cut()

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection to the first address of `host` that accepts one. Raises OSError.

        The resolver alone is outside the deadline: it has time limits of its own.
        """
        refusal: OSError = TimeoutError("The time was up before the first address was tried.")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            remaining_s = self._ends_at - time.monotonic()
            if remaining_s <= 0 or self.cancelled:
                break
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(remaining_s)
            try:
                self._guard(sock)
                sock.connect(address)
            except OSError as error:
                sock.close()
                refusal = error
                continue
            self._start_timer()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _refuse_reset(sock)
            return sock
        raise refusal

    def _guard(self, sock: socket.socket) -> None:
        with self._lock:
            self._duplicates.append(sock.dup())
        if self.passed or self.cancelled:
            self._cut()

    def _start_timer(self) -> None:
        if self._timer is not None:
            return
        self._timer = Timer(max(0.0, self._ends_at - time.monotonic()), self._pass)
        self._timer.daemon = True
        self._timer.start()

    def _pass(self) -> None:
        self.passed = True
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            for duplicate in self._duplicates:
                try:
                    duplicate.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # not connected yet, or not any more


def _refuse_reset(sock: socket.socket) -> None:
    """Raise ConnectionResetError for one that was reset meanwhile: TLS would leave it open."""
    try:
        sock.getpeername()
    except OSError as error:
        sock.close()
        raise ConnectionResetError("The connection was reset before it was used.") from error

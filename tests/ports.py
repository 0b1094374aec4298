"""Free ports for processes that must be told which to use."""

import socket


def free_port_base() -> int:
    """The first of three free ports in a row, as `scripts/demo --port-base` wants it."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = int(probe.getsockname()[1])
        if base < 65533 and are_free(base):
            return base
    raise AssertionError("No three free ports in a row were found.")


def are_free(base: int) -> bool:
    """Whether all three ports from this one on can be bound."""
    try:
        for port in (base, base + 1, base + 2):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True

"""Spoils the bytes of a reply: pure.

In: the bytes of a whole reply in ISO-8859-1. Out: bytes that a reader must not take for it.
"""

from simulator.faults.models import (
    EmptyReply,
    Fault,
    MalformedXml,
    TruncatedXml,
    WrongEncoding,
)

_DECLARED = b'encoding="ISO-8859-1"'


def spoiled(fault: Fault, reply: bytes) -> bytes:
    """The reply under a fault; the same bytes where the fault is not about them."""
    match fault:
        case EmptyReply():
            return b""
        case TruncatedXml(keep=share):
            return reply[: int(len(reply) * share)]
        case MalformedXml():
            head, found, tail = reply.partition(b"<REPLY")
            return head + b"<BROKEN & " + found + tail
        case WrongEncoding(declared="UTF-8"):
            return reply.replace(_DECLARED, b'encoding="UTF-8"', 1)
        case WrongEncoding():
            return reply.decode("iso-8859-1").encode("utf-8")
    return reply

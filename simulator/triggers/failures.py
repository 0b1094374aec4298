"""Why a trigger call failed, as a sentence an administrator understands.

In: what requests raised, and the deadline of the call. Out: one sentence. It names the server
at most: the rest of a trigger URL may hold a secret.
"""

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

from simulator.triggers.deadline import Deadline


def sentence_for(error: BaseException, server: str, deadline: Deadline) -> str:
    """What went wrong with the call to `server` (host and port)."""
    causes = list(_causes(error))
    if deadline.cancelled:
        return "The simulator was stopped during the call."
    if deadline.passed or any(isinstance(cause, TimeoutError) for cause in causes):
        return f"No {deadline.phase} within {deadline.timeout_s:g} s; the call was given up."
    for cause in causes:
        sentence = _sentence_about(cause, server)
        if sentence is not None:
            return sentence
    return f"The call to {server} failed ({type(error).__name__})."


def _sentence_about(cause: BaseException, server: str) -> str | None:
    match cause:
        case ssl.SSLCertVerificationError():
            return f"The certificate of {server} is not trusted: {cause.verify_message}."
        case ssl.SSLError():
            return f"TLS failed with {server}: {cause.reason or 'the connection was closed'}."
        case socket.gaierror():
            return f"The name of {server} cannot be resolved: {cause.strerror}."
        case ConnectionRefusedError():
            return f"{server} refused the connection."
        case http.client.RemoteDisconnected():
            return f"{server} closed the connection without an answer."
        case http.client.IncompleteRead():
            return f"{server} closed the connection before the answer was complete."
        case ConnectionResetError() | BrokenPipeError():
            return f"{server} reset the connection before the answer was complete."
        case OSError(errno=errno.ENOTCONN):  # reset before TLS has begun
            return f"{server} reset the connection before the answer was complete."
        case http.client.HTTPException():
            return f"{server} gave an answer that is not HTTP."
        case OSError() if cause.strerror:
            return f"The connection to {server} failed: {cause.strerror}."
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all it was made from, the innermost first: that one knows best."""
    chain: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop()
        if isinstance(found, BaseException) and not any(found is known for known in chain):
            chain.append(found)
            waiting += [*found.args, getattr(found, "reason", None)]
            waiting += [found.__context__, found.__cause__]
    return reversed(chain)

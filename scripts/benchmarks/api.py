"""GET of one record through the CRM API against a canned reply of the same bytes.

In: quick or not. Out: how fast the GET is in terms of the canned reply: over plain HTTP on the
simulator's own server (gated), and as bare WSGI calls; and how fast it is with 1,000,000
customers in terms of 100,000 (gated).

Requests come one after the other, each on a connection of its own, from another process than the
server's: what is compared is the time until the last byte of the reply. (Werkzeug then waits 10 ms
for what else may come on the connection; a client that waited for the end of it would measure
little but that.)
"""

import random
import re
import socket
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks import rounds
from scripts.benchmarks.local_crm import (
    CONTENT_TYPE,
    Server,
    add_canned,
    fill,
    get_body,
    replies_of,
    settings_for,
)
from scripts.benchmarks.report import Result
from simulator.app import create_app
from simulator.local_crm.changes import FIRST_NUMBER
from simulator.services import EXTENSION

LEAST_OF_CANNED = 0.4
LEAST_OF_100K = 0.9
_ACCOUNTS = 200  # that are asked for, spread over all


def run(quick: bool) -> Result:
    """Measure. Quick: 20,000 customers, and no 1,000,000."""
    customers, units = (20_000, 200) if quick else (100_000, 500)
    result = Result(
        "api",
        "GET of one customer against a canned reply of the same bytes",
        ("what", "customers", "ms a request", "speed, canned = 1"),
        notes=[
            f"Medians of {rounds.ROUNDS} interleaved rounds of {units} requests, with the least "
            "and the most.",
            f"Gates: over HTTP at least {LEAST_OF_CANNED} of the canned reply from the same Flask "
            f"app; with 1,000,000 customers at least {LEAST_OF_100K} of 100,000.",
        ],
        unit="ms a request",
    )
    with tempfile.TemporaryDirectory(prefix="bench-api-") as scratch:
        small = Path(scratch) / "small"
        fill(small, customers)
        _over_http(result, small, customers, units)
        _bare_wsgi(result, small, customers, units * 2)
        result.figures["1m_vs_100k"] = None
        if not quick:
            large = Path(scratch) / "large"
            fill(large, 1_000_000)
            _small_and_large(result, small, large, units)
    return result


def _over_http(result: Result, folder: Path, customers: int, units: int) -> None:
    accounts = _drawn(customers)
    with Server(folder, accounts) as server:
        seconds = rounds.seconds_per_round(
            {
                "canned by the app": _caller(server.port, "/canned?n={}", accounts),
                "canned in front of the app": _caller(server.port, "/bare?n={}", accounts),
                "GET": _caller(server.port, "/WAPI/wapi.php", accounts),
            },
            units,
        )
    speed = _rows(result, "over HTTP", customers, seconds, units)
    result.figures["get_vs_canned"] = round(median(speed), 3)
    if median(speed) < LEAST_OF_CANNED:
        result.missed.append(
            f"A GET has {median(speed):.2f} of the canned reply's speed, not {LEAST_OF_CANNED}."
        )


def _bare_wsgi(result: Result, folder: Path, customers: int, units: int) -> None:
    accounts = _drawn(customers)
    app = create_app(settings_for(folder))
    replies: list[bytes] = []
    add_canned(app, replies)
    replies += replies_of(app, accounts)
    seconds = rounds.seconds_per_round(
        {
            "canned by the app": _wsgi_caller(app, "/canned", accounts),
            "GET": _wsgi_caller(app, "/WAPI/wapi.php", accounts),
        },
        units,
    )
    app.extensions[EXTENSION].close()
    _rows(result, "bare WSGI", customers, seconds, units)


def _small_and_large(result: Result, small: Path, large: Path, units: int) -> None:
    few, many = _drawn(100_000), _drawn(1_000_000)
    with Server(small, few) as small_server, Server(large, many) as large_server:
        seconds = rounds.seconds_per_round(
            {
                "small": _caller(small_server.port, "/WAPI/wapi.php", few),
                "large": _caller(large_server.port, "/WAPI/wapi.php", many),
            },
            units,
        )
    speed = rounds.ratio(seconds["small"], seconds["large"])
    each = [s / units * 1000 for s in seconds["large"]]
    result.rows.append(
        (
            "over HTTP: GET, 100,000 = 1",
            "1,000,000",
            rounds.with_spread(each),
            rounds.with_spread(speed),
        )
    )
    result.bars.append(("over HTTP: GET, 1,000,000 customers", median(each)))
    result.figures["1m_vs_100k"] = round(median(speed), 3)
    if median(speed) < LEAST_OF_100K:
        result.missed.append(
            f"With 1,000,000 customers a GET has {median(speed):.2f} of its speed with 100,000, "
            f"not {LEAST_OF_100K}."
        )


def _rows(
    result: Result, where: str, customers: int, seconds: dict[str, list[float]], units: int
) -> list[float]:
    """A row for each; the GET's speed in terms of the app's canned reply, round by round."""
    for name, taken in seconds.items():
        each = [s / units * 1000 for s in taken]
        speed = rounds.ratio(seconds["canned by the app"], taken)
        result.rows.append(
            (
                f"{where}: {name}",
                f"{customers:,}",
                rounds.with_spread(each),
                rounds.with_spread(speed),
            )
        )
        result.bars.append((f"{where}: {name}", median(each)))
    return rounds.ratio(seconds["canned by the app"], seconds["GET"])


def _drawn(customers: int) -> list[str]:
    rng = random.Random(8)
    return [str(FIRST_NUMBER + rng.randrange(customers)) for _ in range(_ACCOUNTS)]


def _caller(port: int, path: str, accounts: list[str]) -> Callable[[int], None]:
    """One request over a socket, as plain as can be: a client's own work would hide differences."""
    requests = [
        (
            f"POST {path.format(n)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
        for n, body in enumerate(map(get_body, accounts))
    ]

    def call(unit: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(requests[unit % len(requests)])
            reply = _read_reply(connection)
        if b" 200 " not in reply[:15] or b"<ITEM>" not in reply:
            raise RuntimeError(f"{path} answered: {reply[:300]!r}")

    return call


def _read_reply(connection: socket.socket) -> bytes:
    """Head and body, no further than its Content-Length says."""
    reply, end = b"", None
    while end is None or len(reply) < end:
        chunk = connection.recv(65_536)
        if not chunk:
            break
        reply += chunk
        if end is None and (head_end := reply.find(b"\r\n\r\n")) > 0:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", reply[:head_end])
            end = head_end + 4 + int(length[1]) if length else 1 << 30
    return reply


def _wsgi_caller(app: Any, path: str, accounts: list[str]) -> Callable[[int], None]:
    bodies = list(map(get_body, accounts))

    def call(unit: int) -> None:
        n = unit % len(bodies)
        body, answered = bodies[n], []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": f"n={n}",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": CONTENT_TYPE,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            "wsgi.errors": None,
            "wsgi.url_scheme": "http",
        }
        reply = app(environ, lambda status, headers, exc_info=None: answered.append(status))
        content = b"".join(reply)
        reply.close()
        if answered != ["200 OK"] or b"<ITEM>" not in content:
            raise RuntimeError(f"{path} answered {answered}: {content[:300]!r}")

    return call

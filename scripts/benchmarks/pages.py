"""The first byte of every page, against a bare Flask page on the same server.

In: quick or not. Out: how many milliseconds each page takes longer than a view that returns one
line, with 100,000 customers and all that belongs to them; the slowest is gated.

Requests come one after the other, each on a connection of its own, from another process than the
server's. The time is that from the connection to the first byte of the reply.
"""

import json
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from scripts.benchmarks.local_crm import Server, fill, settings_for
from scripts.benchmarks.report import Result
from scripts.benchmarks.rounds import with_spread
from simulator.local_crm.changes import FIRST_NUMBER
from simulator.server import Simulator

MOST_EXTRA_MS = 50.0
_MODULE = "scripts.benchmarks.pages"  # not __name__, which is __main__ where it serves
_BARE = "/bare"
_RECORD = FIRST_NUMBER + 777
_ROUNDS = 9
PAGES = (
    "/",
    "/agent/customers",
    "/agent/customers?from=end",
    "/agent/customers?sort=lastname&after=5000~M",
    "/agent/customers?q=john",
    "/agent/customers?q=s",
    "/agent/customers?firstname=a&lastname=s&customertype=Partner",
    "/agent/customers?company=s&firstname=zz&sort=lastname",
    "/agent/customers/new",
    *(
        f"/agent/{kind}/{_RECORD}{page}"
        for kind in ("customers", "cases", "followups", "tasks")
        for page in ("", "/edit", "/delete")
    ),
    f"/agent/customers/delete-selected?chosen={_RECORD}&chosen={_RECORD + 1}",
    "/agent/customers/delete-all",
    "/agent/cases",
    "/agent/cases?status=Open&priority=High&project=Sales&assignedto=ag1003",
    "/agent/cases?q=cannot&sort=-subject",
    "/agent/followups",
    "/agent/tasks?task_status=Pending&sort=assignedto",
    "/deliveries",
    "/config/integration/crm-triggers",
    "/config/integration/crm-api",
)


def run(quick: bool) -> Result:
    """Measure. Quick: 20,000 customers."""
    customers = 20_000 if quick else 100_000
    result = Result(
        "pages",
        "First byte of every page against a bare Flask page",
        ("page", "customers", "ms", "ms more than the bare page"),
        notes=[
            f"Medians of {_ROUNDS} rounds in which all pages take turns, with the least and the "
            "most.",
            f"Gate: the slowest page takes at most {MOST_EXTRA_MS:.0f} ms more.",
        ],
    )
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as scratch:
        folder = Path(scratch)
        fill(folder, customers, customers_only=False)
        with Server(folder, (), _MODULE) as server:
            taken = _measure(server.port)
    extra = {page: median(taken[page]) - median(taken[_BARE]) for page in PAGES}
    for page, times in taken.items():
        more = "" if page == _BARE else f"{extra[page]:.1f}"
        result.rows.append((f"`{page}`", f"{customers:,}", with_spread(times, 1), more))
    slowest = max(extra, key=lambda page: extra[page])
    result.figures |= {"slowest": slowest, "extra_ms": round(extra[slowest], 1)}
    if extra[slowest] > MOST_EXTRA_MS:
        result.missed.append(
            f"{slowest} takes {extra[slowest]:.0f} ms more than a bare page; "
            f"{MOST_EXTRA_MS:.0f} are allowed."
        )
    return result


def _measure(port: int) -> dict[str, list[float]]:
    """Milliseconds to the first byte, by page; the first round of all is not counted."""
    taken: dict[str, list[float]] = {page: [] for page in (_BARE, *PAGES)}
    for round_number in range(_ROUNDS + 1):
        for page, times in taken.items():
            ms = _first_byte_ms(port, page)
            if round_number:
                times.append(ms)
    return taken


def _first_byte_ms(port: int, page: str) -> float:
    request = f"GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        head = connection.recv(64)
        ms = (time.perf_counter() - began) * 1000
        if b" 200 " not in head[:15]:
            raise RuntimeError(f"{page} answered: {head!r}")
        while connection.recv(65_536):
            pass
    return ms


def _bare_page() -> str:
    return "A bare page.\n"


def _serve(folder: Path) -> None:
    with Simulator(settings_for(folder), ticking=False) as simulator:
        simulator.app.add_url_rule(_BARE, view_func=_bare_page)
        print(json.dumps({"port": simulator.url.rpartition(":")[2]}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))

"""The first byte of every page, against a bare Flask page on the same server.

In: quick or not. Out: how many milliseconds each page takes longer than a view that returns one
line, with 100,000 customers, all that belongs to them and a long history; the slowest is gated.

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

from scripts.benchmarks.every_page import addresses, not_covered
from scripts.benchmarks.local_crm import Server, fill, settings_for
from scripts.benchmarks.long_history import define_custom_fields, fill_deliveries, fill_memory
from scripts.benchmarks.report import Result
from scripts.benchmarks.rounds import with_spread
from simulator.db import open_database
from simulator.server import Simulator

MOST_EXTRA_MS = 50.0
_MODULE = "scripts.benchmarks.pages"  # not __name__, which is __main__ where it serves
_BARE = "/bare"
_ROUNDS = 9
_QUICK_ROUNDS = 3
_DELIVERIES = 100_000
_SHOWN = 10  # pages in the chart
_WIDTH = 80


def run(quick: bool) -> Result:
    """Measure. Quick: 20,000 customers, fewer rounds."""
    customers, rounds = (20_000, _QUICK_ROUNDS) if quick else (100_000, _ROUNDS)
    result = Result(
        "pages",
        "First byte of every page against a bare Flask page",
        ("page", "customers", "ms", "ms more than the bare page"),
        notes=[
            f"Medians of {rounds} rounds in which all pages take turns, with the least and the "
            "most. Pages that were late are measured again, in twice as many rounds.",
            f"Gate: the slowest page takes at most {MOST_EXTRA_MS:.0f} ms more.",
        ],
        unit="the slowest pages, ms more than the bare one",
    )
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as scratch:
        folder = Path(scratch)
        fill(folder, customers, customers_only=False, before=define_custom_fields)
        _fill_deliveries(folder)
        with Server(folder, (), _MODULE) as server:
            taken = _measure(server.port, server.said["pages"], rounds)
            if late := [page for page, ms in _extra(taken).items() if ms > MOST_EXTRA_MS]:
                print(f"{len(late)} pages were late; measuring them again.", file=sys.stderr)
                taken |= _measure(server.port, late, 2 * _ROUNDS)
    extra = _extra(taken)
    for page, times in taken.items():
        more = "" if page == _BARE else f"{extra[page]:.1f}"
        result.rows.append((f"`{_short(page)}`", f"{customers:,}", with_spread(times, 1), more))
    slowest_first = sorted(extra, key=extra.__getitem__, reverse=True)
    result.bars = [(_short(page), extra[page]) for page in slowest_first[:_SHOWN]]
    slowest = slowest_first[0]
    result.figures |= {"slowest": slowest, "extra_ms": round(extra[slowest], 1)}
    if extra[slowest] > MOST_EXTRA_MS:
        result.missed.append(
            f"{slowest} takes {extra[slowest]:.0f} ms more than a bare page; "
            f"{MOST_EXTRA_MS:.0f} are allowed."
        )
    return result


def _short(page: str) -> str:
    """An address of a table's width."""
    return page if len(page) <= _WIDTH else f"{page[:_WIDTH]}…"


def _extra(taken: dict[str, list[float]]) -> dict[str, float]:
    """Milliseconds more than the bare page, by page."""
    return {page: median(times) - median(taken[_BARE]) for page, times in taken.items()}


def _fill_deliveries(folder: Path) -> None:
    engine = open_database(settings_for(folder).database_path)
    fill_deliveries(engine, _DELIVERIES)
    engine.dispose()


def _measure(port: int, pages: list[str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds to the first byte, by page; the first round of all is not counted."""
    taken: dict[str, list[float]] = {page: [] for page in (_BARE, *pages)}
    for round_number in range(rounds + 1):
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
        pages = addresses(fill_memory(simulator.app))
        if left_out := not_covered(simulator.app, [_BARE, *pages]):
            raise SystemExit(f"These pages are not measured: {', '.join(left_out)}.")
        port = simulator.url.rpartition(":")[2]
        print(json.dumps({"port": port, "pages": pages}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))

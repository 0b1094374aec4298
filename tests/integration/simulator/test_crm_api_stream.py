"""A reply of 50,000 records: piece by piece, in constant memory, and nothing left open."""

import re
import socket
import tracemalloc
from collections.abc import Iterable

from flask.testing import FlaskClient
from sqlalchemy.pool import QueuePool

from simulator.clock import ManualClock
from simulator.local_crm import changes, many
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import FIELDS
from simulator.local_crm.models import Origin
from simulator.server import Simulator
from simulator.services import Services
from simulator.settings import Settings
from simulator.triggers.urls import Kind
from tests.crm_api_clients import FORM, Reply, document, encoded, read_reply
from tests.local_crm import create

QUERY = document(
    '<COMMAND OBJECT="Customer" ACTION="GET"><CUSTOMERTYPE>Partner</CUSTOMERTYPE></COMMAND>'
)
AUTHOR = Author(Origin.API, "ag1001")
BODY = b"xml_query=" + QUERY.encode()


def add_partners(services: Services, count: int) -> None:
    """Customers of one type."""
    empty = {field.name: "" for field in FIELDS[Kind.CUSTOMER]}
    rows: Iterable[dict[str, object]] = (
        {
            **empty,
            "accountnum": str(20_000_000 + number),
            "firstname": f"First {number}",
            "lastname": "Zoë",
            "comments": "x" * 200,
            "customertype": "Partner",
            "custom_fields": {},
        }
        for number in range(count)
    )
    now = services.clock.now()
    with services.sessions.begin() as session:
        many.create_many(session, Kind.CUSTOMER, rows, Author(Origin.CSV, "csv import"), now)


def checked_out(services: Services) -> int:
    """Connections that somebody holds."""
    pool = services.engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def test_50_000_records_come_in_constant_memory(client: FlaskClient, services: Services) -> None:
    add_partners(services, 50_000)
    encoded(client, "Customer", "Get", ("ACCOUNTNUM", "1"))  # what is loaded once is loaded
    tracemalloc.start()
    try:
        size = items = last = 0
        with client.post("/WAPI/wapi.php", headers=FORM, data=BODY, buffered=False) as reply:
            for piece in reply.iter_encoded():
                size += len(piece)
                items += piece.count(b"<ITEM>")
                last = int((re.findall(rb"<ACCOUNTNUM>(\d+)<", piece) or [b"%d" % last])[-1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (items, last, size > 25_000_000) == (50_000, 20_049_999, True)
    assert peak < 4_000_000, peak
    assert checked_out(services) == 0


def test_a_long_reply_is_one_consistent_state(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    add_partners(services, 2_000)
    with client.post("/WAPI/wapi.php", headers=FORM, data=BODY, buffered=False) as reply:
        pieces = reply.iter_encoded()
        begun = next(pieces)
        assert checked_out(services) == 1
        with services.sessions.begin() as session:  # a writer does not wait for the reader
            create(session, Kind.CUSTOMER, clock.now(), customertype="Partner")
            changes.delete(session, Kind.CUSTOMER, "20001999", AUTHOR, clock.now())
        found: Reply = read_reply(begun + b"".join(pieces))
    assert len(found.items) == 2_000
    assert found.column("ACCOUNTNUM")[-1] == "20001999"
    assert checked_out(services) == 0
    assert encoded(client, "Customer", "Get", ("ACCOUNTNUM", "20001999")).items == []


def test_a_caller_that_goes_away_leaves_nothing_open(
    client: FlaskClient, services: Services
) -> None:
    add_partners(services, 2_000)
    reply = client.post("/WAPI/wapi.php", headers=FORM, data=BODY, buffered=False)
    next(reply.iter_encoded())
    assert checked_out(services) == 1
    reply.close()
    assert checked_out(services) == 0


def test_a_caller_that_never_reads_leaves_nothing_open(
    client: FlaskClient, services: Services
) -> None:
    add_partners(services, 2_000)
    client.post("/WAPI/wapi.php", headers=FORM, data=BODY, buffered=False).close()
    assert checked_out(services) == 0


def test_over_a_socket_a_caller_that_hangs_up_leaves_nothing_open(
    sim_settings: Settings, clock: ManualClock
) -> None:
    plain = sim_settings.model_copy(update={"tls": False})
    with Simulator(plain, clock=clock, ticking=False) as simulator:
        add_partners(simulator.services, 20_000)
        pool = simulator.services.engine.pool
        host, _, port = simulator.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as caller:
            head = "POST /WAPI/wapi.php HTTP/1.1\r\nHost: x\r\n"
            head += f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(BODY)}\r\n\r\n"
            caller.sendall(head.encode() + BODY)
            assert b" 200 OK" in caller.recv(1_000)
        # Stopping joins the request's thread: it has come to its end, in good order or not.
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0

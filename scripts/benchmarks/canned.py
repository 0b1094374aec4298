"""Servers that a benchmark compares with, each on granian as the receiver runs it.

In: a name, a port and, for `naive`, a database and the canned CRM API. Out: a listening port,
until a signal. `python -m scripts.benchmarks.canned noop 8900`

noop     a Flask view that does nothing: what a framework leaves one to win; on one core behind
         its argument
crm-api  a CRM API that answers every GET of a customer with the same bytes but for the number, as
         cheaply as it can: on one core
naive    what a user would write: read the record and write it, inside the request; `tuned` behind
         its arguments makes it quicker
"""

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import requests
from flask import Flask, request
from sqlalchemy import Column, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql, sqlite

from external_crm.db import make_engine
from receiver import lifeline, web
from receiver.one_core import OneCore
from receiver.settings import Settings

_ADDRESS = ("STR1", "STR2", "CITY", "STATE", "ZIP", "COUNTRY")
TAGS = (
    *("FIRSTNAME", "LASTNAME", "COMPANY", "PBX", "COMMENTS", "CUSTOMERTYPE", "EMAIL", "VOICE"),
    *("ALTERNATIVE", "FAX"),
    *(f"ADDR{n}{part}" for n in (1, 2) for part in _ADDRESS),
)
_ASKED = re.compile(r"<ACCOUNTNUM>(\w+)</ACCOUNTNUM>")


def noop(one_core: str = "") -> Callable[..., Any]:
    """A Flask view that does nothing; with an argument on one core, as the receiver is."""
    app = Flask(__name__)

    @app.get("/8x8/<secret>")
    def do_nothing(secret: str) -> str:
        return "Stored.\n"

    return OneCore(app) if one_core else app


def crm_api() -> Callable[..., Any]:
    """Every customer is there; each is a little different, as real ones are."""
    item = "".join(f"<{tag}>{tag.title()} of %(n)s</{tag}>" for tag in TAGS)
    reply = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><WAPI><REPLY STATUS="0" ERROR_STR="" '
        f'ERROR_CODE="0"> <ITEM><ACCOUNTNUM>%(n)s</ACCOUNTNUM>{item}</ITEM> </REPLY></WAPI>'
    )

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        asked = _ASKED.search(body) or _ASKED.search(unquote_plus(body))
        content = (reply % {"n": asked[1] if asked else ""}).encode()
        start_response("200 OK", [("Content-Type", "text/xml; charset=ISO-8859-1")])
        return [content]

    return OneCore(app)


def naive(database_url: str, api_url: str, tuned: str = "") -> Callable[..., Any]:
    """The script behind the URL, as it is usually written."""
    bring = bringing(database_url, api_url, bool(tuned))
    app = Flask(__name__)

    @app.get("/8x8/<secret>")
    def receive(secret: str) -> str:
        return "Stored.\n" if bring(request.args["AccountID"]) else "Gone.\n"

    return app


def bringing(database_url: str, api_url: str, tuned: bool = False) -> Callable[[str], bool]:
    """What the naive script does with an AccountID: read the record, write it; whether it is there.

    As the libraries' first pages show it: `requests.post`, ElementTree, one upsert of SQLAlchemy's,
    as durable as the receiver is (on SQLite's defaults 64 calls at once mostly wait for each
    other). It keeps no ticket, no audit entry, and forgets what fails.

    tuned: with a session, so that connections to the CRM API are kept.
    """
    engine = make_engine(database_url, patience_s=30)
    table = naive_table()
    table.create(engine, checkfirst=True)
    session = requests.Session()
    session.trust_env = False
    post = session.post if tuned else requests.post
    upsert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def bring(account_id: str) -> bool:
        command = f'<COMMAND OBJECT="Customer" ACTION="GET"><ACCOUNTNUM>{account_id}</ACCOUNTNUM>'
        xml = f"<WAPI><TENANT>t</TENANT>{command}</COMMAND></WAPI>"
        reply = post(f"{api_url}/WAPI/wapi.php", data={"xml_query": xml}, timeout=15)
        item = ElementTree.fromstring(reply.content).find("REPLY/ITEM")  # noqa: S314 - the naive one
        if item is None:
            return False
        values = {tag.lower(): item.findtext(tag) for tag in TAGS}
        statement = upsert(table).values(account_id=account_id, **values)
        with engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["account_id"], set_=values)
            )
        return True

    return bring


def naive_table() -> Table:
    """What the naive script and the Celery task fill."""
    return Table(
        "naive_customers",
        MetaData(),
        Column("account_id", String(64), primary_key=True),
        *(Column(tag.lower(), Text) for tag in TAGS),
    )


_APPS: dict[str, Callable[..., Callable[..., Any]]] = {
    "noop": noop,
    "crm-api": crm_api,
    "naive": naive,
}


class _Load:
    """Makes the application in granian's child."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self._name, self._arguments = name, arguments

    def __call__(self) -> Callable[..., Any]:
        lifeline.tie_to_parent_process()
        return _APPS[self._name](*self._arguments)


def main() -> None:
    """Serve one of them."""
    name, port, *arguments = sys.argv[1:]
    web.serve_wsgi(Settings(), int(port), _Load(name, arguments))


if __name__ == "__main__":
    main()

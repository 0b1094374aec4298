"""A toy receiver: keeps what the CRM API shows of each customer that a trigger names.

In: triggers at /triggers/<kind>/<event>. Out: 200 once the customer was read, and the customers it
knows at /customers/<number>. It is what a first attempt looks like, and good enough to show how
one is tested; `receiver/` beside the simulator is how it is done right.

As a program it serves https with a certificate that the simulator has issued:

    python toy_receiver.py CRM_API_URL TENANT API_KEY FOLDER

FOLDER holds receiver.pem, receiver.key and ca.pem. It prints its URL.
"""

import ssl
import sys
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server
from xml.etree import ElementTree

import requests
from flask import Flask, Response, request


def make_app(crm_api_url: str, tenant: str, api_key: str, ca: Path) -> Flask:
    """The receiver as a WSGI app. ca: what the CRM API's certificate is checked against."""
    app = Flask("toy_receiver")
    customers: dict[str, dict[str, str]] = {}

    @app.get("/triggers/<kind>/<event>")
    def trigger(kind: str, event: str) -> str:
        number = request.args["AccountID"]
        found = read_customer(number)
        if found is None:
            customers.pop(number, None)
        else:
            customers[number] = found
        return "ok"

    @app.get("/customers/<number>")
    def show(number: str) -> dict[str, str] | Response:
        return customers.get(number) or Response(status=404)

    def read_customer(number: str) -> dict[str, str] | None:
        reply = requests.post(
            f"{crm_api_url}/cc/v1/wapi",
            data=f'<COMMAND OBJECT="Customer" ACTION="GET"><ACCOUNTNUM>{number}</ACCOUNTNUM>'
            "</COMMAND>",
            headers={
                "Content-Type": "application/xml",
                "X-8x8-Tenant": tenant,
                "x-api-key": api_key,
            },
            verify=str(ca),
            timeout=10,
        )
        item = ElementTree.fromstring(reply.content).find(".//ITEM")  # noqa: S314 our simulator
        return None if item is None else {field.tag: field.text or "" for field in item}

    return app


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def main(crm_api_url: str, tenant: str, api_key: str, folder: Path) -> None:
    """Serve until interrupted."""
    app = make_app(crm_api_url, tenant, api_key, folder / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "receiver.pem", folder / "receiver.key")
    with make_server("127.0.0.1", 0, app, handler_class=_QuietHandler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        print(f"https://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 for its caller
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))

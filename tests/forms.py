"""A browser as far as tests need one: get a page, fill in its form, send it, read what comes.

In: a Flask test client, or a requests session and the address of a server. Out: Pages. Forms
are sent as browsers send them: hidden fields, defaults and the token included.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import lxml.html
import requests
from flask.testing import FlaskClient
from lxml.html import FormElement, HtmlElement

Value = str | bool | Iterable[str]  # text, a box ticked or not, the values of several boxes
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """What a server answered."""

    url: str
    status: int
    content: bytes
    headers: Mapping[str, str]

    @cached_property
    def document(self) -> HtmlElement:
        """The parsed page."""
        parser = lxml.html.HTMLParser(encoding="utf-8")
        return lxml.html.document_fromstring(self.content, parser)

    @property
    def text(self) -> str:
        """All text that a reader sees, with single spaces."""
        return _plain(self.document.body)

    @property
    def path(self) -> str:
        """The path of the page's address."""
        return urlsplit(self.url).path

    @property
    def flashes(self) -> list[str]:
        """The lines that say what the last action did."""
        return [_plain(line) for line in self.document.xpath("//*[@role='status']")]

    @property
    def links(self) -> list[str]:
        """The addresses of all links."""
        return [str(href) for href in self.document.xpath("//a/@href")]

    def field(self, name: str) -> str:
        """The text of the part of the page that shows or asks for one field."""
        (part,) = self.document.xpath("//*[@data-field=$name]", name=name)
        return _plain(part)

    def value(self, name: str) -> str:
        """What stands in the input of one field."""
        (form,) = [form for form in self.document.forms if name in form.fields]
        found = form.fields[name] or ""
        return str(found).removeprefix("\n") if form.inputs[name].tag == "textarea" else str(found)

    def problem(self, name: str) -> str:
        """The sentence beside one field that says what is wrong with it, or nothing."""
        found = self.document.xpath(
            "//*[@data-field=$name]//*[contains(@class, 'invalid-feedback')]", name=name
        )
        return " ".join(_plain(element) for element in found)

    def form_to(self, path: str) -> FormElement:
        """The form that is sent to a path."""
        for form in self.document.forms:
            target = urljoin(self.url, form.get("action") or self.url)
            if form.method == "POST" and urlsplit(target).path == path:
                return form
        raise AssertionError(f"{self.url} has no form that is sent to {path}: {self.text}")


class Transport(Protocol):
    """How requests reach the server."""

    def request(self, method: str, url: str, pairs: Pairs | None, referer: str) -> Page:
        """One request; redirects are not followed."""


class ClientTransport:
    """Requests go to a Flask test client, in this process."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def request(self, method: str, url: str, pairs: Pairs | None, referer: str) -> Page:
        """One request; redirects are not followed."""
        fields: dict[str, list[str]] = {}
        for name, value in pairs or []:
            fields.setdefault(name, []).append(value)
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with self._client.open(
            target, method=method, data=fields or None, headers={"Referer": referer}
        ) as reply:
            return Page(url, reply.status_code, reply.data, dict(reply.headers))


class HttpTransport:
    """Requests go over a socket."""

    def __init__(self, session: requests.Session, timeout_s: float = 30) -> None:
        self._session = session
        self._timeout_s = timeout_s

    def request(self, method: str, url: str, pairs: Pairs | None, referer: str) -> Page:
        """One request; redirects are not followed."""
        reply = self._session.request(
            method,
            url,
            data=pairs,
            headers={"Referer": referer},
            allow_redirects=False,
            timeout=self._timeout_s,
        )
        return Page(url, reply.status_code, reply.content, dict(reply.headers))


class Browser:
    """One browser with its own cookies."""

    def __init__(self, transport: Transport, base_url: str = "http://localhost") -> None:
        self._transport = transport
        self._base_url = base_url

    @classmethod
    def of(cls, client: FlaskClient) -> "Browser":
        """A browser on a Flask test client."""
        return cls(ClientTransport(client))

    @classmethod
    def over_http(cls, base_url: str, session: requests.Session) -> "Browser":
        """A browser on a running server; the session knows which certificates to trust."""
        return cls(HttpTransport(session), base_url)

    def get(self, path: str) -> Page:
        """A page; redirects are followed."""
        return self._follow(
            self._transport.request("GET", urljoin(self._base_url, path), None, self._base_url)
        )

    def submit(self, path: str, *, action: str | None = None, **values: Value) -> Page:
        """Get a page, fill in its form, send it; the page that comes next.

        action: the path the form is sent to, by default the page's own.
        """
        return self.send(self.get(path), action=action, **values)

    def send(self, page: Page, *, action: str | None = None, **values: Value) -> Page:
        """Fill in the form of a page got before and send it."""
        form = page.form_to(action or page.path)
        target = urljoin(page.url, form.get("action") or page.url)
        return self.post(target, _filled_in(form, values), referer=page.url)

    def post(self, path: str, pairs: Pairs, referer: str = "") -> Page:
        """Send fields that no page offered."""
        url = urljoin(self._base_url, path)
        return self._follow(self._transport.request("POST", url, pairs, referer or url))

    def _follow(self, page: Page) -> Page:
        for _ in range(5):
            if page.status not in (301, 302, 303):
                return page
            target = urljoin(page.url, page.headers["Location"])
            page = self._transport.request("GET", target, None, page.url)
        raise AssertionError(f"Too many redirects, the last to {page.url}.")


def _filled_in(form: FormElement, values: Mapping[str, Value]) -> Pairs:
    for area in form.iter("textarea"):
        area.text = (area.text or "").replace("\r\n", "\n").removeprefix("\n")
    for name, value in values.items():
        if isinstance(value, bool):
            form.inputs[name].checked = value
        elif isinstance(value, str):
            form.fields[name] = value
        else:
            form.inputs[name].value = set(value)
    # A browser sends every line break as CR LF.
    return [
        (str(name), str(value).replace("\r\n", "\n").replace("\n", "\r\n"))
        for name, value in form.form_values()
    ]


def _plain(element: HtmlElement) -> str:
    return " ".join(element.text_content().split())

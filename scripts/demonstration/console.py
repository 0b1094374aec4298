"""An agent's browser, as far as forms go: get the page, fill in its form, send it.

In: a page's path and what is typed into its fields. Out: the address that the page leads to.
Values that are not typed over are sent back as the page showed them, as a browser would.

    FormRefused      the page kept the form and said what is wrong
    PageFailed       no page, no such form, or an answer that is neither page nor redirect
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import lxml.html
import requests
from lxml.html import FormElement, HtmlElement

_TIMEOUT_S = 10.0


class PageFailed(Exception):
    """A page did not do what an agent may expect of it."""


class FormRefused(PageFailed):
    """What was typed was refused; the message has the page's sentences."""


class Console:
    """One browser with its own cookies."""

    def __init__(self, base_url: str, ca: Path) -> None:
        self._base_url = base_url
        self._ca = str(ca)
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor a CA bundle of the shell

    def close(self) -> None:
        """Forget the cookies and connections."""
        self._session.close()

    def submit(self, page: str, values: Mapping[str, str], *, action: str | None = None) -> str:
        """Fill in a form of `page` and send it; the path of the page that comes next.

        action: the path the form is sent to, by default the page's own.
        """
        url = urljoin(self._base_url, page)
        reply = self._request("GET", url)
        if reply.status_code != 200:
            raise PageFailed(f"The page {page} answered {reply.status_code}.")
        form = _find_form(reply, action or urlsplit(url).path)
        fields = _fill_in(form, values, page)
        target = urljoin(url, form.get("action") or url)
        answer = self._request("POST", target, data=fields, headers={"Referer": url})
        return self._follow(answer, page)

    def _follow(self, answer: requests.Response, page: str) -> str:
        if answer.status_code not in (302, 303):
            raise _what_went_wrong(answer, page)
        target = urljoin(answer.url, answer.headers["Location"])
        shown = self._request("GET", target)
        if shown.status_code != 200:
            raise PageFailed(f"{page} led to {target}, which answered {shown.status_code}.")
        return urlsplit(target).path

    def _request(self, method: str, url: str, **arguments: Any) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                verify=self._ca,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                **arguments,
            )
        except requests.RequestException as error:
            raise PageFailed(f"{url} could not be reached: {error}") from error


def _document(reply: requests.Response) -> HtmlElement:
    # Without the name lxml takes a page whose charset stands late for Latin-1.
    return lxml.html.document_fromstring(reply.content, lxml.html.HTMLParser(encoding="utf-8"))


def _find_form(reply: requests.Response, path: str) -> FormElement:
    """The POST form of a page that is sent to `path`."""
    document = _document(reply)
    for form in document.forms:
        target = urljoin(reply.url, form.get("action") or reply.url)
        if form.method == "POST" and urlsplit(target).path == path:
            return form
    raise PageFailed(f"The page {reply.url} has no form that is sent to {path}.")


def _fill_in(form: FormElement, values: Mapping[str, str], page: str) -> list[tuple[str, str]]:
    """The fields as a browser would send them when the form's first button is pressed."""
    for area in form.iter("textarea"):
        _drop_first_line_break(area)
    for name, value in values.items():
        if name not in form.fields:
            raise PageFailed(f"The form on {page} has no field {name}.")
        try:
            form.fields[name] = value
        except ValueError as error:
            raise FormRefused(f"The field {name} on {page} does not offer {value!r}.") from error
    buttons = form.xpath(".//button[@name and (not(@type) or @type='submit')]")
    buttons += form.xpath(".//input[@name and @type='submit']")
    pressed = [(button.get("name"), button.get("value", "")) for button in buttons[:1]]
    return [(name, _line_breaks(value)) for name, value in [*form.form_values(), *pressed]]


def _drop_first_line_break(area: HtmlElement) -> None:
    """The line break after <textarea> belongs to the mark-up, which lxml does not know."""
    text = (area.text or "").replace("\r\n", "\n")
    area.text = text.removeprefix("\n")


def _line_breaks(value: str) -> str:
    """Forms send every line break as CR LF."""
    return value.replace("\r\n", "\n").replace("\n", "\r\n")


def _what_went_wrong(answer: requests.Response, page: str) -> PageFailed:
    if answer.status_code != 422:
        return PageFailed(f"The form on {page} was answered with {answer.status_code}.")
    document = _document(answer)
    sentences = [
        element.text_content().strip() for element in document.find_class("invalid-feedback")
    ]
    return FormRefused(f"The form on {page} was refused: {' '.join(filter(None, sentences))}")

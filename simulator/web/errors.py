"""Error pages: a sentence that says what was wrong and where to go on, never a stack trace.

In: an HTTP error or an exception nobody caught. Out: a page with the status. What nobody
caught is logged with its trace by Flask before the page is made.
"""

from flask import Flask, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

_TITLES = {
    400: "The request could not be understood",
    403: "This is not allowed",
    404: "There is nothing here",
    405: "This address does not take that method",
    413: "The request is too large",
    500: "Something went wrong here",
}
_SENTENCES = {
    400: "Something in the request is malformed. Go back, reload the page and try again.",
    403: "You may not do this.",
    404: "The address leads nowhere. Check it, or start from one of the links above.",
    405: "Open this address as a page, or use the form that belongs to it.",
    413: "What was sent is larger than this page takes. Send less.",
    500: "The simulator failed to do this. Its log has the details; nothing was changed.",
}


def register_error_pages(app: Flask) -> None:
    """Answer these errors with a page."""
    for status in _TITLES:
        app.register_error_handler(status, show_error)
    app.register_error_handler(CSRFError, _show_csrf_error)


def show_error(error: HTTPException) -> tuple[str, int]:
    """The page for an error."""
    status = error.code or 500
    return _page(status, _own_sentence(error) or _SENTENCES[status])


def _show_csrf_error(error: CSRFError) -> tuple[str, int]:
    return _page(
        400,
        "The form was not accepted, because it does not belong to this browser's session. "
        f"Open the form again and send it from there. ({error.description})",
    )


def _own_sentence(error: HTTPException) -> str | None:
    """The sentence that `abort` was given, if it was given one."""
    return error.__dict__.get("description")


def _page(status: int, sentence: str) -> tuple[str, int]:
    page = render_template("web/error.html", title=_TITLES[status], sentence=sentence)
    return page, status

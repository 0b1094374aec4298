"""What views answer with, and the way back to the page that a form was on.

In: the form's field `next`. Out: an address of this site, nothing else.
"""

import re

from flask import request
from werkzeug.wrappers import Response

Page = str | tuple[str, int] | Response

# One slash alone, no line break, no backslash: browsers take //host and /\host for another site.
_OWN_ADDRESS = re.compile(r"/(?:[\w.~%?=&+,:@!*'()-][\w.~%?=&+,:@!*'()/-]*)?", re.ASCII)


def way_back(default: str) -> str:
    """Where a form says that it was; `default` if it says nothing that makes sense."""
    address = request.form.get("next", "")
    return address if _OWN_ADDRESS.fullmatch(address) else default

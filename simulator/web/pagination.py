"""Fifty rows at a time of what is in memory: which page was asked for, and its rows.

In: rows in their final order. Out: a Page. Pages start at 1; an address with a page that is no
number or beyond the last shows the nearest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import request

PER_PAGE = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of many."""

    rows: Sequence[T]
    number: int  # 1 for the first
    total: int  # rows on all pages

    @property
    def last(self) -> int:
        """The number of the last page; 1 when there are no rows."""
        return max(1, -(-self.total // PER_PAGE))


def page_of(rows: Sequence[T]) -> Page[T]:
    """The page that the address asks for with `?page=`."""
    number = min(_asked_for(), max(1, -(-len(rows) // PER_PAGE)))
    return Page(rows[(number - 1) * PER_PAGE : number * PER_PAGE], number, len(rows))


def _asked_for() -> int:
    text = request.args.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else 1

"""What a list is asked for in its address, and the address of a list that is asked for something.

In: the query of an address: `q` for basic search, a field's name for each part of an advanced one
(a custom field's with `custom-` before it, as in forms),
`sort` (with - before it: descending), `after` or `before` a place, or `from=end`. Out: an Asked.
What makes no sense in an address counts as not given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from simulator.agent_console import forms
from simulator.agent_console.screens import Screen
from simulator.local_crm import search
from simulator.local_crm.fields import BY_NAME, Field
from simulator.local_crm.search import Condition, Order
from simulator.local_crm.walk import Place, Start

_LARGEST_POSITION = 2**63 - 1  # SQLite knows no larger integer


@dataclass(frozen=True)
class Asked:
    """Which records of a kind, in which order, from where on."""

    screen: Screen
    text: str  # of the basic search
    custom: Sequence[Field]
    chosen: Mapping[str, str]  # the advanced one: input -> text
    sort: str
    start: Start

    @classmethod
    def from_address(
        cls, screen: Screen, custom: Sequence[Field], given: Mapping[str, str]
    ) -> "Asked":
        """What an address asks for."""
        known = inputs(screen, custom)
        chosen = {name: given[name].strip() for name in known if given.get(name, "").strip()}
        sort = given.get("sort", "")
        if sort.removeprefix("-") not in search.sortable(screen.kind):
            sort = f"-{screen.number}"
        return cls(screen, given.get("q", "").strip(), custom, chosen, sort, _start(given))

    @cached_property
    def conditions(self) -> list[Condition]:
        """All that a record must meet."""
        kind = self.screen.kind
        basic = [search.anywhere(kind, self.text)] if self.text else []
        own = {forms.input_name(field): field for field in self.custom}
        return basic + [
            search.custom_condition(own[name], text)
            if name in own
            else search.condition(kind, name, text)
            for name, text in self.chosen.items()
        ]

    @property
    def order(self) -> Order:
        """How the list is sorted."""
        field = self.sort.removeprefix("-")
        return search.order(self.screen.kind, field, descending=self.sort.startswith("-"))

    def in_address(self, **changed: str) -> dict[str, str]:
        """The address of the first page; `changed` comes on top, such as another `sort`."""
        found = {"q": self.text, **self.chosen}
        if self.sort != f"-{self.screen.number}":
            found["sort"] = self.sort
        return {name: text for name, text in (found | changed).items() if text}

    def here(self, **changed: str) -> dict[str, str]:
        """The address of this very page."""
        if self.start.place is None:
            return self.in_address(**{"from": "end" if self.start.backwards else ""}, **changed)
        way = "before" if self.start.backwards else "after"
        return self.in_address(**{way: _written(self.start.place)}, **changed)

    def after(self, place: Place) -> dict[str, str]:
        """The address of the page that begins after a place."""
        return self.in_address(after=_written(place))

    def before(self, place: Place) -> dict[str, str]:
        """The address of the page that ends before a place."""
        return self.in_address(before=_written(place))

    def at_end(self) -> dict[str, str]:
        """The address of the last page."""
        return self.in_address(**{"from": "end"})

    def sorted_by(self, field: str) -> dict[str, str]:
        """The address of the list sorted by a field, or by the other direction if it is so."""
        return self.in_address(sort=f"-{field}" if self.sort == field else field)


def inputs(screen: Screen, custom: Sequence[Field]) -> dict[str, Field]:
    """What an advanced search can ask for, by input."""
    standard = {name: BY_NAME[screen.kind][name] for name in search.fields_of(screen.kind)}
    return standard | {forms.input_name(field): field for field in custom}


def _start(given: Mapping[str, str]) -> Start:
    if place := _read(given.get("after", "")):
        return Start(place)
    if place := _read(given.get("before", "")):
        return Start(place, backwards=True)
    return Start(None, backwards=given.get("from") == "end")


def _written(place: Place) -> str:
    return f"{place.position}~{place.key}"


def _read(text: str) -> Place | None:
    position, _, key = text.partition("~")
    if not (position.isascii() and position.isdecimal() and len(position) < 20):
        return None
    return Place(min(int(position), _LARGEST_POSITION), key)

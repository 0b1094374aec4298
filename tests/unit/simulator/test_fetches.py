"""Which records were fetched since they changed, told without a clock."""

import pytest

from simulator import fetches as module
from simulator.fetches import Fetches

ADA = "Customer 10000000"


def test_a_read_that_began_before_the_change_does_not_count() -> None:
    fetches = Fetches()
    mark = fetches.mark()
    fetches.changed(ADA)
    fetches.read([ADA], mark)
    assert not fetches.is_fetched(ADA)
    fetches.read([ADA], fetches.mark())
    assert fetches.is_fetched(ADA)


def test_an_older_read_that_ends_later_takes_nothing_back() -> None:
    fetches = Fetches()
    fetches.changed(ADA)
    early, late = fetches.mark(), fetches.mark()
    fetches.read([ADA], late)
    fetches.read([ADA], early)
    assert fetches.is_fetched(ADA)


def test_what_never_changed_must_have_been_read() -> None:
    fetches = Fetches()
    assert not fetches.is_fetched(ADA)
    fetches.read([ADA], fetches.mark())
    assert fetches.is_fetched(ADA)
    fetches.reset()
    assert not fetches.is_fetched(ADA)


def test_a_list_of_everything_makes_it_forget_no_changed_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_READ_KEPT", 2)
    fetches = Fetches()
    fetches.changed(ADA)
    mark = fetches.mark()
    fetches.read([ADA, *(f"Customer {number}" for number in range(5))], mark)
    assert [fetches.is_fetched(key) for key in (ADA, "Customer 0", "Customer 4")] == [
        True,
        False,
        True,
    ]

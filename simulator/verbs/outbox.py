"""The twelve boxes, and the deliveries that come of them."""

from typing import Any

from simulator import near_misses
from simulator.control_api.agent import ActionTaken
from simulator.control_api.deliveries import DeliveriesOut, DeliveryOut, DispatchState, Redelivered
from simulator.control_api.silent import RecordChanged
from simulator.control_api.triggers import Box, BoxesOut
from simulator.triggers.models import DeliveryState
from simulator.triggers.urls import Event, Kind
from simulator.verbs.calls import Calls, Record, number


class Triggers:
    """The twelve boxes of Integration > CRM Triggers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self) -> list[Box]:
        """The URL in each box."""
        return self._calls.get("/triggers", BoxesOut).boxes

    def set_all(self, base_url: str) -> None:
        """Put one URL into all boxes; {kind} and {event} in it become e.g. customer and create."""
        self._calls.send("PUT", "/triggers", BoxesOut, {"all": base_url})

    def set(self, kind: Kind | str, event: Event | str, url: str) -> None:
        """Put a URL into one box; an empty one empties it."""
        box = {"kind": kind, "event": event, "url": url}
        self._calls.send("PUT", "/triggers", BoxesOut, {"boxes": [box]})


class Deliveries:
    """The outbox. Filters: state, kind, event, record_id, account_id."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, **filters: Any) -> list[DeliveryOut]:
        """Those that fit, oldest first, with their attempts."""
        found: list[DeliveryOut] = []
        while True:
            after = found[-1].id if found else 0
            reply = self._calls.get("/deliveries", DeliveriesOut, after=after, **filters)
            found += reply.deliveries
            if not reply.deliveries or len(found) >= reply.total:
                return found

    def get(self, delivery_id: int) -> DeliveryOut:
        """One with its attempts."""
        return self._calls.get(f"/deliveries/{delivery_id}", DeliveryOut)

    def assert_delivered(
        self, record: Record | None = None, *, times: int | None = None, **filters: Any
    ) -> None:
        """Raise AssertionError, with the near misses, unless a trigger that fits was answered
        with 200; with `times`, unless it is exactly so many. It does not wait: `sim.wait` does.
        """
        wanted = {"state": str(DeliveryState.DELIVERED)}
        wanted |= {} if record is None else {"record_id": number(record)}
        if isinstance(record, ActionTaken | RecordChanged):
            wanted |= {"kind": str(record.kind)}
        wanted |= {name: str(value) for name, value in filters.items()}
        found = len(self.list(**wanted))
        if found != times if times is not None else not found:
            expected = "at least 1" if times is None else str(times)
            raise AssertionError(near_misses.told(wanted, found, expected, self.list()))

    def summary(self) -> str:
        """All deliveries, one a line."""
        return near_misses.summary(self.list())

    def redeliver(self, delivery_id: int) -> DeliveryOut:
        """Send a delivered or exhausted one again."""
        return self._calls.post(f"/deliveries/{delivery_id}/redeliver", DeliveryOut)

    def redeliver_many(
        self, *, dry_run: bool = False, expected: int | None = None, **filters: Any
    ) -> Redelivered:
        """Send all that fit again. dry_run only counts; `expected` refuses any other count."""
        return self._calls.post(
            "/deliveries/redeliver", Redelivered, dry_run=dry_run, expected=expected, **filters
        )

    def pause(self) -> None:
        """Send nothing until it is resumed."""
        self._calls.post("/deliveries/pause", DispatchState)

    def resume(self) -> None:
        """Send what is due again."""
        self._calls.post("/deliveries/resume", DispatchState)

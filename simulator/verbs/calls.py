"""Typed control calls, and the record that a call is about.

In: a transport, a path, values. Out: a model of the control API, or ControlRefused.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from simulator.control_api.agent import ActionTaken
from simulator.control_api.silent import RecordChanged
from simulator.transport import Transport

Record = str | ActionTaken | RecordChanged  # its number, or what created it
Reply = TypeVar("Reply", bound=BaseModel)


class Calls:
    """Typed calls over a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, path: str, model: type[Reply], **query: Any) -> Reply:
        """What is at the path."""
        return self.send("GET", path, model, query=query)

    def post(self, path: str, model: type[Reply], **body: Any) -> Reply:
        """What came of it."""
        return self.send("POST", path, model, body)

    def send(
        self,
        method: str,
        path: str,
        model: type[Reply],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The reply of any call; what is None in the query is left out."""
        given = {name: plain(value) for name, value in (query or {}).items() if value is not None}
        sent = None if body is None else {name: plain(value) for name, value in body.items()}
        return model.model_validate_json(self._transport.call(method, path, given, sent))


def number(record: Record) -> str:
    """The number of a record that is given by it, or by what created it."""
    return record if isinstance(record, str) else record.record_id


def plain(value: Any) -> Any:
    """As JSON and addresses have it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value

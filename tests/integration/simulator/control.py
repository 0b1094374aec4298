"""Control calls as a program makes them: JSON in, JSON or a problem out."""

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

from simulator.server import Simulator


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the control API."""

    client: FlaskClient

    @classmethod
    def of(cls, simulator: Simulator) -> "Caller":
        return cls(simulator.app.test_client())

    def __call__(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """What a call that succeeds answers."""
        reply = self.client.open(f"/_sim{path}", method=method, json=body or None)
        assert reply.status_code in (200, 201), reply.text
        found: dict[str, Any] = reply.get_json()
        return found

    def refused(self, status: int, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The problem that a refused call answers with; under `named` the fields it names."""
        reply = self.client.open(f"/_sim{path}", method=method, json=body or None)
        assert (reply.status_code, reply.mimetype) == (status, "application/problem+json"), (
            reply.text
        )
        problem: dict[str, Any] = reply.get_json()
        return problem | {"named": [error["field"] for error in problem["errors"]]}

"""The simulator as a whole: reset, believable data, and its state kept and restored by name."""

from flask import Response
from pydantic import AwareDatetime, BaseModel, Field

from simulator import state
from simulator.control_api.frame import Body, control, refusal, reply
from simulator.control_api.problems import ProblemFound
from simulator.local_crm.fake_data import Counts, FakeData
from simulator.services import services
from simulator.state import NoSuchSnapshot, SnapshotUnusable
from simulator.triggers.urls import Kind

_NOT_KEPT = refusal("Nothing is kept under the name.")
_UNUSABLE = refusal("The snapshot's file cannot be written or read.")


class Nothing(BaseModel):
    """It is done; there is nothing to say about it."""


class Seeding(Body):
    """Believable records to add; equal wishes give equal data in an empty Local CRM."""

    customers: int = Field(10, ge=1, le=100_000, description="Other records come with them.")
    seed: int = Field(1, description="Equal seeds give equal data.")
    until: AwareDatetime | None = Field(
        None, description="Nothing is newer; by default now, by the simulator's clock."
    )


class Seeded(BaseModel):
    """How many records were added, by kind."""

    added: dict[Kind, int]


class SnapshotName(BaseModel):
    """The name of a snapshot."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="Up to 64 letters, digits, - and _, beginning with a letter or digit.",
    )


class SnapshotOut(BaseModel):
    """A kept state."""

    name: str
    size_bytes: int


class SnapshotsOut(BaseModel):
    """All kept states, by name."""

    snapshots: list[SnapshotOut]


@control.post("/reset", responses={"200": Nothing})
def reset() -> Response:
    """Go back to the first start: no records, boxes or deliveries, the settings of the start.

    Triggers that are under way are cut off. Snapshots stay.
    """
    state.reset(services())
    return reply(Nothing())


@control.post("/seed", responses={"200": Seeded})
def seed(body: Seeding) -> Response:
    """Add believable customers, cases, follow-ups and tasks; no trigger fires."""
    source = FakeData(body.customers, body.seed, body.until or services().clock.now())
    added = Counts()
    while source.customers_left:
        with services().sessions.begin() as session:
            added += source.add_chunk(session)
    return reply(Seeded(added=dict(added)))


@control.get("/snapshots", responses={"200": SnapshotsOut})
def list_snapshots() -> Response:
    """What is kept, by name."""
    kept = [_out(snapshot) for snapshot in state.snapshots(services())]
    return reply(SnapshotsOut(snapshots=kept))


@control.put("/snapshots/<name>", responses={"200": SnapshotOut, "409": _UNUSABLE})
def keep_snapshot(path: SnapshotName) -> Response:
    """Keep the present state under a name, in place of what was kept under it."""
    try:
        return reply(_out(state.keep(services(), path.name)))
    except SnapshotUnusable as error:
        raise ProblemFound(409, str(error), "name") from error


@control.post(
    "/snapshots/<name>/restore",
    responses={"200": Nothing, "404": _NOT_KEPT, "409": _UNUSABLE},
)
def restore_snapshot(path: SnapshotName) -> Response:
    """Bring a kept state back: records, boxes, CRM API access, deliveries. The clock stays."""
    try:
        state.restore(services(), path.name)
    except NoSuchSnapshot as error:
        raise ProblemFound(404, str(error), "name") from error
    except SnapshotUnusable as error:
        raise ProblemFound(409, str(error), "name") from error
    services().wake()
    return reply(Nothing())


@control.delete("/snapshots/<name>", responses={"200": Nothing, "404": _NOT_KEPT})
def delete_snapshot(path: SnapshotName) -> Response:
    """Keep that state no longer."""
    try:
        state.forget(services(), path.name)
    except NoSuchSnapshot as error:
        raise ProblemFound(404, str(error), "name") from error
    return reply(Nothing())


def _out(snapshot: state.Snapshot) -> SnapshotOut:
    return SnapshotOut(name=snapshot.name, size_bytes=snapshot.size_bytes)

"""Delete All: every record of a kind that is there when it begins, with all that hangs on them.

In: sessions, a kind, whose deletion it is, the clock. Out: records gone, some hundred a
transaction, so that nobody else waits long. Killed midway: those before are deleted, with their
last versions and their outbox entries, and the others are there.
"""

from sqlalchemy.orm import Session, sessionmaker

from simulator.clock import Clock
from simulator.local_crm import many, walk
from simulator.local_crm.background import Tell
from simulator.local_crm.changes import Author
from simulator.local_crm.many import Deleted
from simulator.triggers.urls import Kind

AT_A_TIME = 100


def delete_all(
    sessions: sessionmaker[Session],
    kind: Kind,
    author: Author,
    clock: Clock,
    *,
    fires: bool,
    tell: Tell,
) -> Deleted:
    """What was deleted (trigger.delete-all-of-tab); what others create meanwhile stays.

    tell: called at first and after each batch with the records done and those there are.
    """
    with sessions() as session:
        last = walk.newest_position(session, kind)
        total = walk.count_all(session, kind)
    deleted = Deleted(kind)
    tell(0, total)
    while True:
        with sessions.begin() as session:
            numbers = walk.oldest_numbers(session, kind, last, AT_A_TIME)
            if not numbers:
                return deleted
            now = clock.now()
            batch = many.delete_many(session, kind, numbers, author, now, fires=fires)
        deleted = deleted.and_then(batch)
        # Others may have deleted some meanwhile.
        tell(deleted.count, max(total, deleted.count))

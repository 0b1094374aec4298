"""The one counter from which tickets, seqs and cascade numbers are drawn (rule 1)."""

from sqlalchemy import Sequence, select, text, update
from sqlalchemy.orm import Session

from external_crm.models import FenceCounter

SEQUENCE = "fence_counter_sequence"


def draw(session: Session) -> int:
    """The next number, greater than every number drawn before; at least 1.

    On SQLite it commits with the caller's transaction, whose write lock orders the draws;
    on PostgreSQL a sequence orders them and a rollback leaves a gap, which does no harm.
    """
    if session.get_bind().dialect.name == "postgresql":
        return int(session.execute(select(Sequence(SEQUENCE).next_value())).scalar_one())
    session.execute(
        update(FenceCounter).where(FenceCounter.id == 1).values(value=FenceCounter.value + 1)
    )
    return int(session.execute(text("SELECT value FROM fence_counter WHERE id = 1")).scalar_one())

"""The passwords of customers: taken by the CRM API's Add and never given out (records.password).

In: a password as it was sent, or the wish for one that the system makes. Out: a row with its
hash, beside the customer and not in it: no reply, page or version can show it. Killed before the
commit: there is neither customer nor password.
"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, Session, mapped_column

from simulator.db import Base


class CustomerPassword(Base):
    """A customer's password; without a hash it is one that the system made and nobody was told."""

    __tablename__ = "customer_passwords"

    accountnum: Mapped[str] = mapped_column(
        ForeignKey("customers.accountnum", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str] = mapped_column(default="")


def keep(session: Session, accountnum: str, password_hash: str = "") -> None:
    """Give a new customer a password: the one behind the hash, or one that the system makes."""
    session.add(CustomerPassword(accountnum=accountnum, password_hash=password_hash))
    session.flush()

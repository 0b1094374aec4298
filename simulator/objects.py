"""What an agent acts on and what he does to it, by 8x8's names: the words that all parts share."""

from enum import StrEnum


class Kind(StrEnum):
    """The four CRM objects, by 8x8's names."""

    CUSTOMER = "Customer"
    CASE = "Case"
    FOLLOWUP = "Followup"
    TASK = "Task"


class Event(StrEnum):
    """What an agent did to an object."""

    CREATE = "Create"
    EDIT = "Edit"
    DELETE = "Delete"

"""Which field a caller means by a tag: pure (api.object-case, api.unknown-filter).

In: a kind, its custom fields, and tags with their values. Out: Tags with the field behind each,
or CallRefused: a tag that nobody knows is refused, not ignored, because a caller takes "nothing
found" for "deleted", and a change that did less than was asked for a success.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simulator.crm_api.errors import CallRefused, Refusal
from simulator.local_crm.fields import BY_NAME, FIELDS, Field, custom_by_tag
from simulator.settings import Settings
from simulator.triggers.urls import Kind

PASSWORD, AUTOPASSWD = "PASSWORD", "AUTOPASSWD"
# Taken by Add Customer only, and in no reply (records.password).
_ADD_ONLY = {Kind.CUSTOMER: (PASSWORD, AUTOPASSWD)}


@dataclass(frozen=True)
class Tag:
    """One tag of a command; `field` is None where only its name counts."""

    name: str  # in capitals; of a custom field the field's name
    text: str
    field: Field | None


def known_tags(kind: Kind, custom: Sequence[Field], settings: Settings) -> dict[str, Field]:
    """The fields of a kind by the tags that name them, in capitals."""
    standard = {field.tag.upper(): field for field in FIELDS[kind]}
    return standard | custom_by_tag(kind, custom, settings.custom_tag_suffix)


def read_tags(
    kind: Kind,
    values: Iterable[tuple[str, str]],
    known: Mapping[str, Field],
    settings: Settings,
    also: Iterable[str] = (),
) -> list[Tag]:
    """The tags of a command with the fields they mean. Raises CallRefused.

    also: names that are taken although no field of the kind has them.
    """
    taken = {*also, *_ADD_ONLY.get(kind, ())}
    tags: dict[str, Tag] = {}
    for written, text in values:
        name = written.upper()
        field = known.get(name)
        if (field is None and name not in taken) or _misspelled(written, field, settings):
            if settings.api_unknown_tags == "ignore":
                continue
            raise _refusal_of_unknown(kind, written)
        name = field.tag.upper() if field else name
        if name in tags:
            raise CallRefused(Refusal.DUPLICATE_TAG, name)
        tags[name] = Tag(name, text, field)
    return list(tags.values())


def _misspelled(written: str, field: Field | None, settings: Settings) -> bool:
    if settings.api_case_matters:
        return written not in (written.upper(), field.tag if field else "")
    return False


def _refusal_of_unknown(kind: Kind, written: str) -> CallRefused:
    owners = [
        str(other)
        for other in Kind
        if written.lower() in BY_NAME[other] or written.upper() in _ADD_ONLY.get(other, ())
    ]
    if owners and str(kind) not in owners:
        return CallRefused(Refusal.FOREIGN_TAG, written, " or ".join(owners), kind)
    return CallRefused(Refusal.UNKNOWN_TAG, written, kind)

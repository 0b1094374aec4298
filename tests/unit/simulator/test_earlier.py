"""Queries over the Local CRM as it was, against the versions of each record one by one."""

import random
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from simulator.local_crm import changes, queries
from simulator.local_crm.earlier import as_it_was
from simulator.local_crm.models import MODELS, NUMBER_COLUMN, RecordVersion
from simulator.triggers.urls import Kind
from tests.conftest import MORNING
from tests.local_crm import AGENT, create

SECOND = timedelta(seconds=1)
PARENT = {Kind.CASE: Kind.CUSTOMER, Kind.FOLLOWUP: Kind.CASE, Kind.TASK: Kind.CUSTOMER}
TEXT = {Kind.CUSTOMER: "comments", Kind.CASE: "subject", Kind.TASK: "subject"}


def alive(crm: Session, kind: Kind) -> list[str]:
    return [
        str(getattr(record, NUMBER_COLUMN[kind])) for record in crm.scalars(select(MODELS[kind]))
    ]


def something_happens(crm: Session, rng: random.Random, step: int) -> None:
    """One random change at its own second; sometimes two in one."""
    now = MORNING + (step // 2) * SECOND
    kind = rng.choice(list(Kind))
    numbers = alive(crm, kind)
    choice = rng.random()
    if choice < 0.5 or not numbers:
        parent = PARENT.get(kind)
        owners = alive(crm, parent) if parent else []
        if parent and not owners:
            return
        owner = {NUMBER_COLUMN[parent]: rng.choice(owners)} if parent else {}
        create(crm, kind, now, **owner)
    elif choice < 0.8 and kind in TEXT:
        values = {TEXT[kind]: f"Text {step} with ' and \" and é"}
        changes.edit(crm, kind, rng.choice(numbers), values, AGENT, now)
    else:
        changes.delete(crm, kind, rng.choice(numbers), AGENT, now)


def rows_at(crm: Session, kind: Kind, instant: Any) -> dict[str, dict[str, Any]]:
    """All records of a kind as the query finds them, by number."""
    table = MODELS[kind].__table__
    found = crm.execute(as_it_was(select(*table.c), instant)).mappings()
    number = NUMBER_COLUMN[kind]
    return {row[number]: {k: changes.as_json(v) for k, v in row.items()} for row in found}


def test_every_instant_of_a_random_history_is_found_again(crm: Session) -> None:
    rng = random.Random(7)
    for step in range(200):
        something_happens(crm, rng, step)

    for kind in Kind:
        ever = set(crm.scalars(select(RecordVersion.record_id).where(RecordVersion.kind == kind)))
        for second in range(-1, 101, 3):
            instant = MORNING + second * SECOND
            expected = {n: queries.as_of(crm, kind, n, instant) for n in ever}
            assert rows_at(crm, kind, instant) == {n: d for n, d in expected.items() if d}


def test_one_record_is_found_by_an_index(crm: Session) -> None:
    table = MODELS[Kind.CUSTOMER].__table__
    one = as_it_was(select(*table.c).where(table.c.accountnum == "10000000"), MORNING)
    compiled = one.compile(crm.get_bind(), compile_kwargs={"literal_binds": True})

    plan = crm.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()

    assert [str(line[-1]) for line in plan if "SCAN" in str(line[-1])] == []

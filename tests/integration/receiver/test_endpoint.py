"""The trigger URLs, called in-process; what is answered and what is kept."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, select

from external_crm.db import read_session
from receiver import inbox
from receiver.app import create_app
from receiver.models import InboxTrigger, Reject
from receiver.settings import Settings

SECRET = "a-secret-of-24-characters"
SETTINGS = Settings(secret=SECRET)


@pytest.fixture
def app(engine: Engine) -> Flask:
    return create_app(SETTINGS, engine)


def rows(engine: Engine) -> list[InboxTrigger]:
    with read_session(engine) as session:
        return list(session.scalars(select(InboxTrigger)))


def rejects(engine: Engine) -> list[Reject]:
    with read_session(engine) as session:
        return list(session.scalars(select(Reject)))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("box", ["", "/", "/customer/create"])
def test_a_trigger_is_stored_before_the_200(
    client: FlaskClient, engine: Engine, method: str, box: str
) -> None:
    commits: list[int] = []
    event.listen(engine, "commit", lambda _c: commits.append(1))
    response = client.open(f"/8x8/{SECRET}{box}?AccountID=10000000", method=method)
    assert response.status_code == 200
    assert commits
    (row,) = rows(engine)
    assert (row.kind, row.record_id, row.state) == ("customer", "10000000", "waiting")
    assert row.event == ("create" if "create" in box else None)


def test_every_call_is_a_row_of_its_own(client: FlaskClient, engine: Engine) -> None:
    for _ in range(3):
        client.get(f"/8x8/{SECRET}?AccountID=1&CaseID=2")
    assert len(rows(engine)) == 3


def test_a_wrong_box_is_stored_under_the_kind_of_its_parameters(
    client: FlaskClient, engine: Engine
) -> None:
    assert client.get(f"/8x8/{SECRET}/customer/edit?AccountID=1&TaskID=2").status_code == 200
    (row,) = rows(engine)
    assert (row.kind, row.record_id) == ("task", "2")


@pytest.mark.parametrize(
    "query", ["", "AccountID=", "AccountID=1&AccountID=2", "CaseID=1", "AccountID=" + "9" * 65]
)
def test_what_is_no_trigger_is_refused_and_kept(
    client: FlaskClient, engine: Engine, query: str
) -> None:
    response = client.get(f"/8x8/{SECRET}/case/edit?{query}")
    assert response.status_code == 400
    assert response.text.strip().endswith(".")
    (kept,) = rejects(engine)
    assert kept.line == f"case/edit?{query}"
    assert SECRET not in kept.line + kept.reason
    assert rows(engine) == []
    with read_session(engine) as session:
        assert inbox.counts(session)["rejected"] == 1


def test_rejects_are_bounded_in_number_and_length(
    client: FlaskClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEPT_REJECTS", 5)
    for number in range(12):
        client.get(f"/8x8/{SECRET}?x={number}&pad={'y' * 5000}")
    kept = rejects(engine)
    assert [row.line[:5] for row in kept] == [f"?x={n}&"[:5] for n in range(7, 12)]
    assert {len(row.line) for row in kept} == {inbox.LONGEST_REJECT}


@pytest.mark.parametrize("path", ["/8x8/wrong", "/8x8/wrong/case/edit", "/8x8/", "/", "/8x8/é"])
def test_a_wrong_secret_finds_nothing_and_leaves_nothing(
    client: FlaskClient, engine: Engine, path: str
) -> None:
    assert client.get(f"{path}?AccountID=1").status_code == 404
    assert rows(engine) == []
    assert rejects(engine) == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(client: FlaskClient, engine: Engine, method: str) -> None:
    response = client.open(f"/8x8/{SECRET}?AccountID=1", method=method)
    assert response.status_code == 405
    assert rows(engine) == []


@pytest.fixture
def locked(sqlite: Engine) -> Iterator[Engine]:
    """Somebody else holds the write lock, and nobody waits long for it."""
    event.listen(sqlite, "connect", lambda c, _r: c.execute("PRAGMA busy_timeout=10"))
    other = sqlite.raw_connection()
    other.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
    yield sqlite
    other.close()


def test_a_store_that_cannot_be_written_is_503_with_retry_after(locked: Engine) -> None:
    client = create_app(SETTINGS, locked).test_client()
    response = client.get(f"/8x8/{SECRET}?AccountID=1")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "Call again" in response.text


def test_no_secret_in_any_log(client: FlaskClient, capfd: pytest.CaptureFixture[str]) -> None:
    client.get(f"/8x8/{SECRET}?AccountID=1")
    client.get(f"/8x8/{SECRET}?AccountID=")
    client.put(f"/8x8/{SECRET}?AccountID=1")
    client.get(f"/8x8/{SECRET}/nonsense")
    out, err = capfd.readouterr()
    assert "stored" in out + err
    assert SECRET not in out + err

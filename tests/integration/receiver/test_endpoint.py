"""The trigger URLs, called in-process; what is answered and what is kept."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from external_crm.db import make_engine, read_session
from receiver import inbox, logs
from receiver.app import create_app
from receiver.models import InboxTrigger, Reject
from receiver.settings import Settings

SECRET = "a-secret-of-24-characters"
OLD_SECRET = "the-secret-of-last-year"
SETTINGS = Settings(secret=SECRET, secret_old=OLD_SECRET)


@pytest.fixture(params=["front", "flask"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """All of this holds in front of Flask and in Flask's own view."""
    return SETTINGS.model_copy(update={"wsgi_front": request.param == "front"})


@pytest.fixture
def app(settings: Settings, engine: Engine) -> Flask:
    return create_app(settings, engine)


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
    response = client.open(f"/8x8/{SECRET}{box}?AccountID=10000000", method=method)
    assert response.status_code == 200
    somebody_else = make_engine(engine.url.render_as_string(hide_password=False))
    (row,) = rows(somebody_else)
    somebody_else.dispose()
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


def test_the_old_secret_is_let_in_beside_the_new(client: FlaskClient, engine: Engine) -> None:
    for secret in (SECRET, OLD_SECRET):
        assert client.get(f"/8x8/{secret}?AccountID=1").status_code == 200
    assert len(rows(engine)) == 2
    assert client.get(f"/8x8/{OLD_SECRET}?x=/8x8/{SECRET}").status_code == 400
    (kept,) = rejects(engine)
    assert kept.line == "?x=/8x8/SECRET"


def test_many_wrong_secrets_cost_no_row_and_hardly_a_line(
    client: FlaskClient, engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("console")
    for number in range(500):
        assert client.get(f"/8x8/guess-{number}?AccountID=1").status_code == 404
    structlog.reset_defaults()
    assert capfd.readouterr().err.count("wrong secret") <= 2
    assert rows(engine) + rejects(engine) == []


def test_what_is_too_large_is_refused_with_a_sentence(client: FlaskClient, engine: Engine) -> None:
    url = f"/8x8/{SECRET}/case/edit?AccountID=1"
    long = client.get(f"{url}&pad={'x' * 9000}")
    assert (long.status_code, "8,192 bytes" in long.text) == (414, True)
    large = client.post(url, data=b"x" * 70_000)
    assert (large.status_code, "65,536 bytes" in large.text) == (413, True)
    assert rows(engine) == []
    assert client.post(url, data=b"x" * 60_000).status_code == 200


@given(
    path=st.text("/8x.SECRTcaseditv%é ", max_size=30), query=st.text("AcountID=&19", max_size=20)
)
@hypothesis.settings(
    max_examples=300, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_front_and_flask_answer_alike(sqlite: Engine, path: str, query: str) -> None:
    answers = []
    for front in (True, False):
        app = create_app(SETTINGS.model_copy(update={"wsgi_front": front}), sqlite)
        for start in ("/8x8/", f"/8x8/{SECRET}"):
            got = app.test_client().get(f"{start}{path}?{query}")
            answers.append((got.status_code, got.text, got.content_type))
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize("box", ["", "/case/edit"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_not_allowed(
    client: FlaskClient, engine: Engine, method: str, box: str
) -> None:
    response = client.open(f"/8x8/{SECRET}{box}?AccountID=1", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")
    assert rows(engine) == []


@pytest.mark.parametrize("path", [f"/8x8//{SECRET}", f"/8x8/x/../{SECRET}", f"/8x8/{SECRET}//"])
def test_an_odd_path_is_never_answered_with_a_redirect(client: FlaskClient, path: str) -> None:
    response = client.get(f"{path}?AccountID=1")
    assert response.status_code in (400, 404)
    assert "Location" not in response.headers


def test_a_url_pasted_twice_is_kept_without_its_secret(client: FlaskClient, engine: Engine) -> None:
    url = f"/8x8/{SECRET}/case/edit"
    assert client.get(f"{url}{url}?x={url}").status_code == 400
    (kept,) = rejects(engine)
    assert kept.line == "case/edit/8x8/SECRET/case/edit?x=/8x8/SECRET/case/edit"


def test_control_characters_in_the_path_are_kept_as_they_came(
    client: FlaskClient, engine: Engine
) -> None:
    assert client.get(f"/8x8/{SECRET}/case%00%1b/edit?AccountID=1").status_code == 400
    (kept,) = rejects(engine)
    assert kept.line == "case%00%1B/edit?AccountID=1"


@pytest.fixture
def locked(sqlite: Engine) -> Iterator[Engine]:
    """Somebody else holds the write lock, and nobody waits long for it."""
    event.listen(sqlite, "connect", lambda c, _r: c.execute("PRAGMA busy_timeout=10"))
    other = sqlite.raw_connection()
    other.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
    yield sqlite
    other.close()


def test_a_store_that_cannot_be_written_is_503_with_retry_after(
    settings: Settings, locked: Engine
) -> None:
    client = create_app(settings, locked).test_client()
    response = client.get(f"/8x8/{SECRET}?AccountID=1")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "Call again" in response.text


def test_a_deleted_database_is_503_and_the_one_put_back_is_used(
    settings: Settings, sqlite: Engine, tmp_path: Path
) -> None:
    """SQLite itself would go on writing into the deleted file, and the 200 would be a lie."""
    client = create_app(settings, sqlite).test_client()
    path, away = tmp_path / "external_crm.db", tmp_path / "away"
    assert client.get(f"/8x8/{SECRET}?AccountID=1").status_code == 200
    path.rename(away)
    for _ in range(2):
        response = client.get(f"/8x8/{SECRET}?AccountID=2")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert not path.exists()  # an empty one would look like a fresh start
    away.rename(path)
    assert client.get(f"/8x8/{SECRET}?AccountID=3").status_code == 200
    assert [row.record_id for row in rows(sqlite)] == ["1", "3"]


def test_a_database_that_was_replaced_is_noticed(
    settings: Settings, sqlite: Engine, sqlite_template: Path, tmp_path: Path
) -> None:
    client = create_app(settings, sqlite).test_client()
    assert client.get(f"/8x8/{SECRET}?AccountID=1").status_code == 200
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"external_crm.db{suffix}").unlink(missing_ok=True)
    shutil.copy(sqlite_template, tmp_path / "external_crm.db")
    assert client.get(f"/8x8/{SECRET}?AccountID=2").status_code == 200
    assert [row.record_id for row in rows(sqlite)] == ["2"]


def test_no_secret_in_any_log(client: FlaskClient, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    client.get(f"/8x8/{SECRET}?AccountID=1")
    client.get(f"/8x8/{SECRET}?AccountID=")
    client.put(f"/8x8/{SECRET}?AccountID=1")
    client.get(f"/8x8/{SECRET}/nonsense")
    out, err = capfd.readouterr()
    assert "stored" in out + err
    assert SECRET not in out + err


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_failure_of_our_own_is_a_sentence_and_its_trace_holds_no_secret(
    client: FlaskClient,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
) -> None:
    monkeypatch.setattr("receiver.ingest.parse", lambda *_: {}["no such key"])
    logs.configure(log_format)
    try:
        response = client.get(f"/8x8/{SECRET}?AccountID=1")
    finally:
        structlog.reset_defaults()
    assert (response.status_code, response.text.count("\n")) == (500, 1)
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "no such key" in err
    assert SECRET not in err

"""A Local CRM in a file of its own, without a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from simulator.db import open_database, session_factory
from simulator.local_crm.models import Agent
from tests.local_crm import fill_boxes

BASE = "https://crm.example.com/8x8"


@pytest.fixture
def crm_engine(tmp_path: Path) -> Iterator[Engine]:
    """A fresh database."""
    engine = open_database(tmp_path / "fresh.db")
    yield engine
    engine.dispose()


@pytest.fixture
def crm_sessions(crm_engine: Engine) -> sessionmaker[Session]:
    """Sessions on a database with all boxes filled and one agent."""
    sessions = session_factory(crm_engine)
    with sessions.begin() as session:
        fill_boxes(session, BASE)
        session.add(Agent(agent_id="ag1001", name="Agent 1"))
    return sessions


@pytest.fixture
def crm(crm_sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session with a transaction on that database."""
    with crm_sessions.begin() as session:
        yield session

"""What every part of the running simulator shares: one frozen value, made once by `create_app`.

In: an engine, a clock, settings. Out: `Services`, and `services()` for routes. Killed here:
nothing is held but connections and threads.
"""

import random
from dataclasses import dataclass
from typing import cast

import structlog
from flask import current_app
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from simulator.certificates import Authority
from simulator.clock import Clock
from simulator.db import session_factory
from simulator.local_crm import changes
from simulator.settings import Settings
from simulator.triggers import outbox
from simulator.triggers.backoff import policy_named
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.scheduler import Scheduler
from simulator.triggers.sender import Sender

EXTENSION = "crm_simulator"
log = structlog.get_logger("simulator.triggers")


@dataclass(frozen=True)
class Services:
    """Shared by pages, CRM API and dispatcher. `sessions` is for changes: `sessions.begin()`."""

    engine: Engine
    sessions: sessionmaker[Session]
    clock: Clock
    settings: Settings
    authority: Authority
    sender: Sender
    dispatcher: Dispatcher
    scheduler: Scheduler

    def wake(self) -> None:
        """Let the dispatcher look at once for what is due."""
        self.scheduler.wake()

    def close(self) -> None:
        """Come to rest: calls under way are cut off and recorded as failed."""
        self.scheduler.stop()
        self.sender.close()
        self.dispatcher.close()
        self.engine.dispose()


def services() -> Services:
    """The services of the app that handles the present request."""
    return cast(Services, current_app.extensions[EXTENSION])


def make_services(
    engine: Engine, settings: Settings, clock: Clock, rng: random.Random, authority: Authority
) -> Services:
    """The services over one database; nothing ticks until the scheduler is started.

    Raises CaFileUnusable.
    """
    sender = Sender(
        settings.trigger_method,
        settings.trigger_timeout_s,
        settings.trigger_ca,
        settings.trigger_success,
        own_ca=authority.path,
    )
    sessions = session_factory(engine, changes.session_info(settings))
    dispatcher = Dispatcher(
        sessions,
        clock,
        sender.send,
        policy_named(settings.retry_schedule, settings.retry_jitter),
        rng,
        lease_s=settings.lease_s,
        concurrency=settings.trigger_concurrency,
    )
    scheduler = Scheduler(dispatcher.begin_due, settings.tick_s)
    dispatcher.on_slot_free = scheduler.wake
    _wake_after_commit(sessions, scheduler)
    return Services(engine, sessions, clock, settings, authority, sender, dispatcher, scheduler)


def _wake_after_commit(sessions: sessionmaker[Session], scheduler: Scheduler) -> None:
    """Before the commit the dispatcher would find nothing; a tick later would be late."""

    def wake(session: Session) -> None:
        deliveries = session.info.pop(outbox.ENQUEUED, None)
        if deliveries:
            log.info("enqueue", deliveries=deliveries)
            scheduler.wake()

    event.listen(sessions, "after_commit", wake)

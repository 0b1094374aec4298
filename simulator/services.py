"""What every part of the running simulator shares: one frozen value, made once by `create_app`.

In: an engine, a clock, settings. Out: `Services`, and `services()` for routes. Killed here:
nothing is held but connections and threads.
"""

from dataclasses import dataclass
from typing import cast

import structlog
from flask import current_app
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from simulator import events
from simulator.chance import Chance
from simulator.clock import ControlledClock
from simulator.db import session_factory
from simulator.events import Events
from simulator.faults.registry import Registry
from simulator.local_crm import changes
from simulator.local_crm.models import RecordVersion
from simulator.settings import Settings
from simulator.triggers import outbox
from simulator.triggers.backoff import policy_named
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.scheduler import Scheduler
from simulator.triggers.sender import Sender

EXTENSION = "crm_simulator"
_CHANGED = "simulator.services.changed"  # in session.info: kind and number of what changed
log = structlog.get_logger("simulator.triggers")


@dataclass(frozen=True)
class Services:
    """Shared by pages, CRM API and dispatcher. `sessions` is for changes: `sessions.begin()`."""

    engine: Engine
    sessions: sessionmaker[Session]
    clock: ControlledClock
    chance: Chance
    events: Events
    settings: Settings
    faults: Registry
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


def make_services(engine: Engine, settings: Settings, clock: ControlledClock) -> Services:
    """The services over one database; nothing ticks until the scheduler is started.

    Raises CaFileUnusable.
    """
    sender = Sender(
        settings.trigger_method,
        settings.trigger_timeout_s,
        settings.trigger_ca,
        settings.trigger_success,
    )
    chance = Chance(settings.chaos_seed)
    log_of_events = Events(clock, chance.seed)
    faults = Registry(clock, chance, log_of_events)
    sessions = session_factory(
        engine, changes.session_info(settings) | events.session_info(log_of_events)
    )
    dispatcher = Dispatcher(
        sessions,
        clock,
        sender.send,
        policy_named(settings.retry_schedule, settings.retry_jitter),
        chance,
        lease_s=settings.lease_s,
        concurrency=settings.trigger_concurrency,
        faults=faults,
        timeout_s=settings.trigger_timeout_s,
    )
    faults.on_cleared = dispatcher.faults_cleared
    scheduler = Scheduler(dispatcher.begin_due, settings.tick_s)
    dispatcher.on_slot_free = scheduler.wake
    _tell_after_commit(sessions, scheduler)
    _tell_of_changes(sessions, dispatcher)
    return Services(
        engine,
        sessions,
        clock,
        chance,
        log_of_events,
        settings,
        faults,
        sender,
        dispatcher,
        scheduler,
    )


def _tell_after_commit(sessions: sessionmaker[Session], scheduler: Scheduler) -> None:
    """Before the commit the dispatcher would find nothing; a tick later would be late."""

    def tell(session: Session) -> None:
        events.hand_over(session)
        deliveries = session.info.pop(outbox.ENQUEUED, None)
        if deliveries:
            log.info("enqueue", deliveries=deliveries)
            scheduler.wake()

    event.listen(sessions, "after_commit", tell)


def _tell_of_changes(sessions: sessionmaker[Session], dispatcher: Dispatcher) -> None:
    """A fault may hold a delivery back until its record changes once more."""

    def remember(session: Session, _context: object) -> None:
        versions = [one for one in session.new if isinstance(one, RecordVersion)]
        session.info.setdefault(_CHANGED, []).extend((v.kind, v.record_id) for v in versions)

    def tell(session: Session) -> None:
        for kind, record_id in session.info.pop(_CHANGED, ()):
            dispatcher.record_changed(kind, record_id)

    event.listen(sessions, "after_flush", remember)
    event.listen(sessions, "after_commit", tell)

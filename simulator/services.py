"""What every part of the running simulator shares: one frozen value, made once by `create_app`.

In: an engine, a clock, settings. Out: `Services`, and `services()` for routes. Killed here:
nothing is held but connections and threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from flask import current_app
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from simulator import events, failpoints
from simulator.certificates import Authority
from simulator.chance import Chance
from simulator.clock import ControlledClock
from simulator.db import session_factory
from simulator.events import Events, What
from simulator.faults.registry import Registry
from simulator.fetches import Fetches
from simulator.journal import Journal
from simulator.local_crm import changes
from simulator.local_crm.background import Jobs
from simulator.local_crm.csv_import import Report
from simulator.local_crm.many import Deleted
from simulator.logs import Log
from simulator.metrics import Metrics
from simulator.settings import Settings
from simulator.triggers import outbox
from simulator.triggers.backoff import policy_named
from simulator.triggers.dispatcher import Dispatcher
from simulator.triggers.journalled import Journalled
from simulator.triggers.playing import Player
from simulator.triggers.scheduler import Scheduler
from simulator.triggers.sender import Sender

EXTENSION = "crm_simulator"
log = Log("simulator.triggers")


@dataclass(frozen=True)
class Services:
    """Shared by pages, CRM API and dispatcher. `sessions` is for changes: `sessions.begin()`."""

    engine: Engine
    sessions: sessionmaker[Session]
    clock: ControlledClock
    chance: Chance
    events: Events
    journal: Journal
    fetches: Fetches
    metrics: Metrics
    settings: Settings
    first_settings: Settings  # those of the start, to which a reset goes back
    frozen_at_start: datetime | None  # where the clock stood then; None: it ran
    authority: Authority
    faults: Registry
    sender: Sender
    dispatcher: Dispatcher
    scheduler: Scheduler
    player: Player
    loads: Jobs[Report]  # imports and bulk creations
    deletions: Jobs[Deleted]  # each a Delete All

    def wake(self) -> None:
        """Let the dispatcher look at once for what is due."""
        self.scheduler.wake()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within, no trigger is under way; calls that were are cut off and recorded as failed."""
        with self.sender.cut_off(), self.dispatcher.hold():
            yield

    def pause_deliveries(self) -> None:
        """Send nothing until it is resumed; triggers that are under way are finished."""
        self.dispatcher.pause()
        self.events.note(What.DELIVERIES_PAUSED, "deliveries")

    def resume_deliveries(self) -> None:
        """Send what is due again."""
        self.events.note(What.DELIVERIES_RESUMED, "deliveries")
        self.dispatcher.resume()

    def faults_in_force(self) -> list[str]:
        """What is broken on purpose, for whoever asks why something does not come about."""
        in_force = [
            f"{one.fault.fault} (number {one.id}), hit {one.fired} times so far"
            for one in self.faults.all()
            if one.in_force
        ]
        return in_force + self.dispatcher.held_back()

    def stop_jobs(self) -> None:
        """End what runs in the background after its present batch."""
        self.loads.stop()
        self.deletions.stop()

    def wait_for_jobs(self) -> None:
        """Return when nothing runs in the background."""
        self.loads.wait()
        self.deletions.wait()

    def begin_close(self) -> None:
        """Let go of everybody who waits: nothing is begun any more, calls under way are cut off."""
        self.events.close()
        self.stop_jobs()
        self.dispatcher.stop()
        self.sender.close()

    def close(self) -> None:
        """Come to rest: calls under way are cut off and recorded as failed."""
        self.begin_close()
        self.scheduler.stop()
        self.loads.close()
        self.deletions.close()
        self.dispatcher.close()
        self.engine.dispose()


def services() -> Services:
    """The services of the app that handles the present request."""
    return cast(Services, current_app.extensions[EXTENSION])


def change_settings(settings: Settings) -> None:
    """From now on these settings hold. What is bound to a start (a port, a folder) stays as it is;
    who reads `services()` anew, or opens a new session, obeys the rest.
    """
    now = services()
    now.sender.call_by(
        settings.trigger_method, settings.trigger_timeout_s, settings.trigger_success
    )
    if now.dispatcher.journalled is not None:
        now.dispatcher.journalled.method = settings.trigger_method
    now.dispatcher.policy = policy_named(settings.retry_schedule, settings.retry_jitter)
    now.dispatcher.timeout_s = settings.trigger_timeout_s
    now.dispatcher.lease_s = settings.lease_s
    info = now.sessions.kw.get("info") or {}
    now.sessions.configure(info=info | changes.session_info(settings))
    current_app.extensions[EXTENSION] = replace(now, settings=settings)


def make_services(
    engine: Engine, settings: Settings, clock: ControlledClock, authority: Authority
) -> Services:
    """The services over one database; nothing ticks until the scheduler is started.

    Raises CaFileUnusable.
    """
    chance = Chance(settings.chaos_seed)
    log_of_events, journal, fetches = Events(clock, chance.seed), Journal(clock), Fetches()
    metrics = Metrics(engine, clock)
    log_of_events.on_noted = metrics.count
    sender = Sender(
        settings.trigger_method,
        settings.trigger_timeout_s,
        settings.trigger_ca,
        settings.trigger_success,
        own_ca=authority.path,
    )
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
        journalled=Journalled(journal, settings.trigger_method),
        faults=faults,
        timeout_s=settings.trigger_timeout_s,
    )
    faults.on_cleared = dispatcher.faults_cleared
    scheduler = Scheduler(dispatcher.begin_due, settings.tick_s)
    dispatcher.on_slot_free = scheduler.wake
    _tell_after_commit(sessions, scheduler, fetches, dispatcher)
    return Services(
        engine=engine,
        sessions=sessions,
        clock=clock,
        chance=chance,
        events=log_of_events,
        journal=journal,
        fetches=fetches,
        metrics=metrics,
        settings=settings,
        first_settings=settings,
        frozen_at_start=clock.now() if clock.frozen else None,
        authority=authority,
        faults=faults,
        sender=sender,
        dispatcher=dispatcher,
        scheduler=scheduler,
        player=Player(engine, clock, dispatcher, log_of_events),
        loads=Jobs("load", "those stay"),
        deletions=Jobs("delete-all", "those are gone"),
    )


def _tell_after_commit(
    sessions: sessionmaker[Session],
    scheduler: Scheduler,
    fetches: Fetches,
    dispatcher: Dispatcher,
) -> None:
    """Before the commit the dispatcher would find nothing; a tick later would be late."""

    def about_to_commit(session: Session) -> None:
        if outbox.ENQUEUED in session.info:
            failpoints.reach("T1-before")

    def tell(session: Session) -> None:
        for what, record in events.hand_over(session):
            if what is What.RECORD_CHANGED:
                fetches.changed(record)
                dispatcher.record_changed(record)
        deliveries = session.info.pop(outbox.ENQUEUED, None)
        if deliveries:
            failpoints.reach("T1-after")
            log.info("enqueue", deliveries=deliveries)
            scheduler.wake()

    event.listen(sessions, "before_commit", about_to_commit)
    event.listen(sessions, "after_commit", tell)

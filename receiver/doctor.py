"""What would keep this receiver from its work, found out before 8x8 finds out.

In: settings, and how 8x8 reaches us. Out: findings, each a sentence with what to do. It reads the
CRM API once for each kind of record and writes nowhere.
"""

import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from external_crm.db import DatabaseUnusable, first_line, read_session
from external_crm.rows import Key, Kind
from receiver import tls_files
from receiver.app import open_engine
from receiver.crm_api import BadAnswer, CrmApiError, RecordSource, Refused
from receiver.settings import PREFIX, Misconfigured, Settings

_PATIENCE_S = 10.0
_EXPIRES_SOON = timedelta(days=14)
_NO_RECORD = "0"  # nobody has seen a record with this number
# Types of file systems that a SQLite file may be on.
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_OVER_THE_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"})
_UNLOGGED = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' "
    "AND pg_table_is_visible(oid) ORDER BY relname"
)
_SURVIVES = "A 200 on it outlasts a process kill, a machine crash and a power loss"


class Weight(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WEAK = "weak"  # works, but promises less than it could
    BAD = "bad"  # does not work


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it where it is not well."""

    weight: Weight
    subject: str
    sentence: str
    advice: str = ""


def examine(
    settings: Settings, make_source: Callable[[Settings], RecordSource], base: str | None
) -> Iterator[Finding]:
    """One finding after the other: settings, certificate, database, CRM API.

    base: how 8x8 reaches us, https://...; None where that is not known.
    """
    can_receive = yield from _check("settings of web", settings.check_web)
    can_work = yield from _check("settings of work", settings.check_work)
    if base is not None:
        yield look_from_outside(base)
    elif can_receive and settings.tls_cert is not None and settings.tls_key is not None:
        yield look_at_certificate(settings.tls_cert, settings.tls_key)
    yield from look_at_database(settings)
    if can_work:
        yield from ask_the_api(make_source(settings))


def _check(subject: str, check: Callable[[], None]) -> Generator[Finding, None, bool]:
    try:
        check()
    except Misconfigured as error:
        yield Finding(Weight.BAD, subject, str(error))
        return False
    yield Finding(Weight.OK, subject, "All that is needed is set.")
    return True


# --- the certificate ----------------------------------------------------------------------------


def look_from_outside(base: str) -> Finding:
    """Whether a client that trusts public authorities, as 8x8 does, would connect to `base`."""
    subject, parts = "https", urlsplit(base)
    host, port = parts.hostname or "", parts.port or 443
    try:
        with (
            socket.create_connection((host, port), _PATIENCE_S) as connection,
            ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secured,
        ):
            leaf = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        return Finding(
            Weight.BAD,
            subject,
            f"The certificate of {host}:{port} is not trusted: {error.verify_message}.",
            "8x8 trusts public authorities only. Send the intermediate certificates along, and "
            "take a certificate for the name that is in the boxes.",
        )
    except ssl.SSLError as error:
        reason = error.reason or "the connection was closed"
        return Finding(
            Weight.BAD, subject, f"{host}:{port} speaks no TLS: {reason}.", "8x8 calls https only."
        )
    except OSError as error:
        return Finding(
            Weight.BAD,
            subject,
            f"{host}:{port} cannot be reached: {error.strerror or error}.",
            "See whether the receiver runs, and what stands between: name, port, firewall, proxy.",
        )
    return _how_long_valid(subject, leaf) or Finding(
        Weight.OK, subject, f"{host}:{port} is reached, and its certificate is trusted."
    )


def look_at_certificate(certificate: Path, key: Path) -> Finding:
    """Whether certificate and key fit together and are valid; whom 8x8 trusts is not known here."""
    subject = "certificate"
    problem = tls_files.problem(certificate, key)
    if problem is not None:
        return Finding(
            Weight.BAD,
            subject,
            problem,
            f"Set {PREFIX}TLS_CERT to the chain and {PREFIX}TLS_KEY to the key it was made for.",
        )
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    soon = _how_long_valid(subject, leaf)
    if soon is None and leaf.issuer == leaf.subject:
        soon = Finding(
            Weight.WEAK,
            subject,
            "The certificate is signed by itself.",
            "8x8 trusts public authorities only; take one from such an authority.",
        )
    return soon or Finding(
        Weight.OK, subject, "Certificate and key fit. With --base it is looked at from outside."
    )


def _how_long_valid(subject: str, leaf: x509.Certificate) -> Finding | None:
    now, until = datetime.now(UTC), leaf.not_valid_after_utc
    advice = "Renew it, and see why it was not renewed by itself."
    if until < now:
        return Finding(Weight.BAD, subject, f"The certificate expired on {until:%Y-%m-%d}.", advice)
    if until < now + _EXPIRES_SOON:
        sentence = f"The certificate expires on {until:%Y-%m-%d}."
        return Finding(Weight.WEAK, subject, sentence, advice)
    return None


# --- the database -------------------------------------------------------------------------------


def look_at_database(settings: Settings) -> Iterator[Finding]:
    """Whether it is there and migrated, and what a 200 means on it."""
    try:
        engine = open_engine(settings)
    except DatabaseUnusable as error:
        yield Finding(Weight.BAD, "database", str(error), f"It is set by {PREFIX}DATABASE_URL.")
        return
    try:
        yield Finding(Weight.OK, "database", "It is reached, and its tables are up to date.")
        if engine.dialect.name == "sqlite":
            yield _durability_of_sqlite(engine)
        else:
            yield _durability_of_postgresql(engine)
    except SQLAlchemyError as error:
        reason = first_line(getattr(error, "orig", None) or error)
        yield Finding(Weight.BAD, "database", f"It cannot be asked: {reason}.")
    finally:
        engine.dispose()


def _durability_of_sqlite(engine: Engine) -> Finding:
    subject = "durability"
    path = Path(engine.url.database or "").resolve()
    file_system = _file_system_of(path)
    if file_system in _IN_MEMORY:
        return Finding(
            Weight.WEAK,
            subject,
            f"{path} is kept in memory ({file_system}): a 200 on it outlasts a process kill only.",
            "Move the database to a disk.",
        )
    if file_system in _OVER_THE_NETWORK:
        return Finding(
            Weight.WEAK,
            subject,
            f"{path} is on a network file system ({file_system}), on which SQLite's locks and "
            "write-ahead log are not safe.",
            "Move the database to a local disk, or use PostgreSQL.",
        )
    return Finding(
        Weight.OK, subject, f"{_SURVIVES}, if the disk keeps what it says it has written."
    )


def _durability_of_postgresql(engine: Engine) -> Finding:
    subject = "durability"
    with read_session(engine) as session:
        connection = session.connection()
        found = {
            name: str(connection.exec_driver_sql(f"SHOW {name}").scalar())
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        }
        unlogged = connection.exec_driver_sql(_UNLOGGED).scalars().all()
    if found["fsync"] == "off" or found["full_page_writes"] == "off":
        setting = "fsync" if found["fsync"] == "off" else "full_page_writes"
        return Finding(
            Weight.WEAK,
            subject,
            f"PostgreSQL runs with {setting} = off: a 200 on it outlasts a process kill, but a "
            "machine crash or a power loss may destroy the whole database.",
            f"Set {setting} = on in postgresql.conf.",
        )
    if found["synchronous_commit"] == "off":
        return Finding(
            Weight.WEAK,
            subject,
            "PostgreSQL runs with synchronous_commit = off: a machine crash or a power loss loses "
            "the triggers of the last moments, although they were answered with 200.",
            "Set synchronous_commit = on, for this database or in postgresql.conf.",
        )
    if unlogged:
        return Finding(
            Weight.WEAK,
            subject,
            f"PostgreSQL keeps {', '.join(unlogged)} unlogged: a crash of the server empties them.",
            f"Run ALTER TABLE {unlogged[0]} SET LOGGED, and so for each.",
        )
    return Finding(Weight.OK, subject, f"{_SURVIVES}, if the disk keeps what it was given.")


def _file_system_of(path: Path) -> str:
    """The type of the file system that a path is on; nothing where it cannot be known."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    holding = [mount for mount in mounts if path.is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else ""


# --- the CRM API --------------------------------------------------------------------------------


def ask_the_api(source: RecordSource) -> Iterator[Finding]:
    """Whether it answers, knows our credentials, and lets us read all four kinds."""
    subject = "CRM API"
    refused = False
    for kind in Kind:
        try:
            source.get(Key(kind, _NO_RECORD))
        except Refused as error:
            refused = True
            yield Finding(
                Weight.BAD,
                subject,
                f"It refuses to let us read a {kind}: {error}",
                "In Configuration Manager, Integration > CRM API, enable the API, give the right "
                f"Get for it, and compare the credentials with {PREFIX}USERNAME and the like.",
            )
        except BadAnswer as error:
            yield Finding(
                Weight.BAD,
                subject,
                f"Its answer about a {kind} cannot be used: {error}",
                f"See whether {PREFIX}CRM_API_URL is the cluster of your tenant.",
            )
        except CrmApiError as error:
            yield Finding(
                Weight.BAD,
                subject,
                str(error),
                f"See {PREFIX}CRM_API_URL and {PREFIX}CRM_API_CA, and whether this machine may "
                "call out.",
            )
            return  # it would be the same for every kind
        else:
            if not refused:
                yield Finding(Weight.OK, subject, f"It lets us read a {kind}.")

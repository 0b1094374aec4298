"""An External CRM that is a file: the example of a sink without SQL (external_crm.sink).

In: the reads of one claim and their ticket. Out: lines of JSON, one for each record about which
something new is known, each whole: the latest line of a record is what holds.

    records.jsonl      {"kind", "id", "change", "ticket", "seq", ..., "row": {...} or null}
    checkpoint.json    {"bytes": how much of records.jsonl counts}
    lock               whoever holds it (flock) is the one who applies

The checkpoint moves, by a rename, after the lines are on the disk. Killed before it: what stands
behind the checkpoint is cut off by the next apply, and the triggers are read again. Killed after
it, before the triggers are finished: they are read again, and nothing changes but numbers.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from external_crm.audit import as_json
from external_crm.rows import (
    Applied,
    Batch,
    Found,
    Key,
    Kind,
    Outcome,
    Read,
    Verdict,
    Verification,
    as_columns,
)
from external_crm.verdicts import (
    CHILD_KINDS,
    Known,
    cascading,
    concerned,
    judge_all,
    lock_order,
    raise_numbers,
)

_Row = dict[str, Any]
_INSTANTS = ("first_not_found_at", "unexplained_gone_at")
_PARENT_COLUMN = {Kind.CUSTOMER: "account_id", Kind.CASE: "case_id"}


class JsonLinesSink:
    """Records in a folder; any number of processes on one machine may apply to it."""

    def __init__(self, folder: Path, draw: Callable[[], int]) -> None:
        """draw: the next number of the receiver's counter, committed. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._records = folder / "records.jsonl"
        self._checkpoint = folder / "checkpoint.json"
        self._lock = folder / "lock"
        self._draw = draw
        self._states: dict[Key, Known] = {}
        self._rows: dict[Key, _Row] = {}
        self._read_to = 0  # bytes of records.jsonl that states and rows show

    def apply(self, batch: Batch, ticket: int) -> Applied:
        """A verdict for every read of the batch, once what the verdicts say is on the disk."""
        with self._locked():
            self._catch_up()
            # Copies: what could not be written must not be believed.
            states = {key: replace(self._states.get(key, Known())) for key in concerned(batch)}
            verdicts, verifications = judge_all(
                batch, states, ticket, lambda: self._tombstone_allowance(batch)
            )
            seq = self._draw()
            rows = {read.key: self._new_row(read, verdicts) for read in batch.reads}
            for read in batch.reads:
                outcome = verdicts[read.key].outcome
                raise_numbers(states[read.key], read, outcome, ticket, seq, batch.now)
            stamped = cascading(batch, verdicts)
            ks = self._draw() if stamped else 0
            for key in stamped:
                states[key].ks = ks
            read_keys = sorted(rows, key=lock_order)  # parents first
            self._write([self._line(key, states[key], rows[key]) for key in read_keys])
            for key in stamped:
                verifications += self._known_children(key)
        return Applied(verdicts, tuple(dict.fromkeys(verifications)))

    def rows(self) -> dict[Key, _Row]:
        """The live records as they are kept: columns as JSON values."""
        with self._locked():
            self._catch_up()
            return dict(self._rows)

    # --- what is to be written ------------------------------------------------------------------

    def _new_row(self, read: Read, verdicts: dict[Key, Verdict]) -> _Row | None:
        """The row as it will be; where it is already so, the verdict becomes unchanged."""
        outcome, old = verdicts[read.key].outcome, self._rows.get(read.key)
        if outcome is Outcome.GONE:
            return None
        if outcome is not Outcome.APPLIED or not isinstance(read, Found):
            return old
        new = as_json(as_columns(read.row))
        if new == old:
            verdicts[read.key] = Verdict(Outcome.UNCHANGED)
        return new

    def _line(self, key: Key, known: Known, row: _Row | None) -> _Row | None:
        """What is to be kept of a record, or None where all of it is kept already."""
        old = self._rows.get(key)
        if known == self._states.get(key, Known()) and row == old:
            return None
        change = "none" if row == old else "created" if not old else "changed" if row else "deleted"
        kept = {
            name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(known).items()
            if not name.startswith("audit_")  # this file is its own history
        }
        return {"kind": key.kind.value, "id": key.id, "change": change, **kept, "row": row}

    def _tombstone_allowance(self, batch: Batch) -> int:
        """How many more unexplained tombstones may be written now (rule 7, the guard)."""
        if batch.tombstones_stopped:
            return 0
        since = batch.now - timedelta(seconds=batch.policy.tombstone_window_s)
        instants = (known.unexplained_gone_at for known in self._states.values())
        return batch.policy.tombstone_limit - sum(at is not None and at > since for at in instants)

    def _known_children(self, parent: Key) -> Iterator[Verification]:
        """Every live record under a parent (rule 8)."""
        column = _PARENT_COLUMN[parent.kind]
        for key, row in self._rows.items():
            if key.kind in CHILD_KINDS[parent.kind] and row[column] == parent.id:
                yield Verification(key, row["account_id"], row.get("case_id"), parent)

    # --- the files ------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # let go of when the file is closed, or by death
            yield

    def _catch_up(self) -> None:
        """Read what counts and is not known here yet: another process may have applied."""
        counts_to = self._counted_bytes()
        if counts_to == self._read_to:
            return
        with self._records.open("rb") as handle:
            handle.seek(self._read_to)
            for line in handle.read(counts_to - self._read_to).splitlines():
                self._believe(json.loads(line))
        self._read_to = counts_to

    def _counted_bytes(self) -> int:
        try:
            return int(json.loads(self._checkpoint.read_text())["bytes"])
        except FileNotFoundError:
            return 0

    def _believe(self, line: _Row) -> None:
        key = Key(Kind(line["kind"]), line["id"])
        kept = {name: line[name] for name in asdict(Known()) if name in line}
        for name in _INSTANTS:
            kept[name] = datetime.fromisoformat(kept[name]) if kept[name] else None
        self._states[key] = Known(**kept)
        if line["row"] is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = line["row"]

    def _write(self, lines: Sequence[_Row | None]) -> None:
        """Append the lines and let them count; what a death left behind is overwritten."""
        new = [line for line in lines if line is not None]
        if not new:
            return
        content = b"".join(json.dumps(line).encode() + b"\n" for line in new)
        with self._records.open("ab") as handle:
            handle.truncate(self._read_to)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        end = self._read_to + len(content)
        self._move_checkpoint(end)
        for line in new:
            self._believe(line)
        self._read_to = end

    def _move_checkpoint(self, counts_to: int) -> None:
        scratch = self._checkpoint.with_suffix(".new")
        with scratch.open("w") as handle:
            json.dump({"bytes": counts_to}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.replace(self._checkpoint)
        folder = os.open(self._checkpoint.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself
        finally:
            os.close(folder)

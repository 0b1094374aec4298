"""The seam: what a customer with another CRM replaces.

A sink brings the reads of one claim into a CRM and says what became of each. Two are here:
`SqlSink` in external_crm/apply.py, the tables of this package, and `JsonLinesSink` in
external_crm/json_lines.py, a file: the example of a CRM that shares no transaction with the
receiver. `make_sink` in receiver/work.py chooses.

What every sink keeps, record by record, is `external_crm.verdicts.Known`; it judges by
`verdicts.judge_all` under a lock of its own, so that no two batches judge one record at a time,
and draws its seq under that lock from the counter that tickets are drawn from.

Promise 4 differs. A sink in the receiver's own transaction has one effect or none. Any other is
applied first and the triggers are finished after it: killed in between, they are read and applied
again, which changes nothing, because the same content only raises the numbers.
"""

from typing import Protocol

from external_crm.rows import Applied, Batch


class Sink(Protocol):
    """Where records go."""

    def apply(self, batch: Batch, ticket: int) -> Applied:
        """A verdict for every read of the batch, once what the verdicts say is kept for good.

        ticket: drawn and committed before the first request of the batch was sent.
        """

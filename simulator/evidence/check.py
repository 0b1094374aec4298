"""The ledger against a recording: every line gets a verdict, or the reason why it cannot.

In: a Recording. Out: findings in the ledger's order, and their text for a terminal. UNTOLD names
the lines that redacted traffic can never speak to.
"""

from collections.abc import Iterator, Mapping

from simulator.assumptions import ASSUMPTIONS, BY_ID, Assumption
from simulator.evidence import calls, deletes, records, triggers  # noqa: F401 - their checks
from simulator.evidence.recording import Recording
from simulator.evidence.weighing import CHECKS, Finding, Verdict
from simulator.settings import PREFIX

_BY_REASON = {
    "it is what the screens of 8x8 show and take": """
        trigger.followup-edit-box trigger.https-required trigger.https-checked-in-form
        trigger.delete-one trigger.delete-many trigger.delete-tabs trigger.delete-all-of-tab
        api.rights api.identity api.tab api.tenant-and-key-in-tab records.custom-types
        records.field-classes""",
    "a recording does not know what an agent or another channel did": """
        trigger.agent-only trigger.email-creates trigger.email-silent
        trigger.edit-without-change trigger.delete-selected-fires trigger.delete-all-fires
        records.csv-import records.auto-log records.followup-leaves-case""",
    "a recording changes nothing in the Local CRM": """
        exchange.write-back api.email-taken api.add-numbers api.add-reply api.modify-names
        api.modify-reply records.customer-add-tags records.password records.task-tags""",
    "values are redacted": """
        records.case-values records.pick-lists records.dates-in-utc records.email-unique
        records.email-case""",
    "nobody asks a real service for it on purpose": """
        trigger.timeout api.faq api.encodings api.lying-encoding api.body-limit api.no-paging""",
}
UNTOLD: dict[str, str] = {
    line: reason for reason, lines in _BY_REASON.items() for line in lines.split()
}


def judge(seen: Recording) -> dict[str, Finding]:
    """A finding for each line of the ledger that traffic can speak to, in the ledger's order."""
    return {line.id: CHECKS[line.id](seen) for line in ASSUMPTIONS if line.id in CHECKS}


def render(findings: Mapping[str, Finding], seen: Recording) -> Iterator[str]:
    """Lines for a terminal: what is refuted first, with what to change."""
    for verdict in Verdict:
        for name, finding in findings.items():
            if finding.verdict is verdict:
                where = f" (line {finding.line})" if finding.line else ""
                yield f"{verdict:<9}  {name:<28} {finding.sentence}{where}"
                if verdict is Verdict.REFUTED:
                    yield f"{'':<9}  {'':<28} {_advice(BY_ID[name])}"
    yield ""
    yield "This traffic cannot tell, because"
    for reason, lines in _BY_REASON.items():
        yield f"  {reason}: {', '.join(lines.split())}"
    counts = [sum(f.verdict is verdict for f in findings.values()) for verdict in Verdict]
    yield ""
    if not seen.is_whole:
        yield "The recording has no end: it was cut off, or goes on."
    yield (
        f"{len(seen.triggers)} triggers and {len(seen.calls)} calls: {counts[0]} refuted, "
        f"{counts[1]} confirmed, {counts[2]} not seen, {len(UNTOLD)} that traffic cannot tell."
    )


def _advice(line: Assumption) -> str:
    """What to change in the simulator, so that it does what was seen."""
    if line.setting:
        return f"Set {PREFIX}{line.setting.upper()}: `crm-simulator --help` says to what."
    module, _, name = (line.place or "").partition(":")
    package = "" if module.startswith("receiver.") else "simulator/"
    return f"No setting changes it: it is {name} in {package}{module.replace('.', '/')}.py."

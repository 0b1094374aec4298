"""`crm-receiver doctor` and `crm-receiver fetch`: look without changing anything.

Exit codes: 0 all is well, 1 something is not, 2 asked wrongly.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict

import click

from external_crm.rows import Key, Kind
from receiver import doctor as examination
from receiver.crm_api import CrmApi, CrmApiError
from receiver.doctor import Weight
from receiver.mapping import UnmappableRecord, to_row
from receiver.settings import Settings, is_url
from receiver.transport import HttpTransport, Reply
from receiver.work import make_source


@click.command()
@click.option("--base", help="How 8x8 reaches you, e.g. https://crm.example.com.")
@click.option("--strict", is_flag=True, help="Refuse what works but promises less than it could.")
def doctor(base: str | None, strict: bool) -> None:
    """See whether everything is set, reached, allowed and durable.

    Looks at the settings, the certificate (with --base as 8x8 would see it), the database and
    what a 200 means on it, and the CRM API's credentials and rights. It changes nothing.
    """
    if base is not None and not is_url(base, "https"):
        raise click.UsageError("--base must begin with https:// and name a server.")
    settings = Settings.load()
    refused = {Weight.BAD, Weight.WEAK} if strict else {Weight.BAD}
    well = True
    with ExitStack() as stack:

        def make(settings: Settings) -> CrmApi:
            network = HttpTransport(settings.crm_api_timeout_s, settings.crm_api_ca)
            return make_source(settings, stack.enter_context(closing(network)))

        for finding in examination.examine(settings, make, base):
            click.echo(f"{finding.weight:<5} {finding.subject:<17} {finding.sentence}")
            if finding.advice:
                click.echo(f"{'':<23} {finding.advice}")
            well = well and finding.weight not in refused
    sys.exit(0 if well else 1)


@click.command()
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("record_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Print the reply as it came.")
@click.option("--mapped", is_flag=True, help="Print the row that it becomes; the default.")
def fetch(kind: str, record_id: str, raw: bool, mapped: bool) -> None:
    """Read one record over the CRM API and print it; nothing is written."""
    settings = Settings.load()
    settings.check_work()
    with closing(_Keeping(settings.crm_api_timeout_s, settings.crm_api_ca)) as transport:
        try:
            record = make_source(settings, transport).get(Key(Kind(kind), record_id))
        except CrmApiError as error:
            raise click.ClickException(str(error)) from error
        finally:
            if raw and transport.reply is not None:
                click.echo(transport.reply.body)
    if record is None:
        raise click.ClickException(f"The CRM API knows no {kind} {record_id}.")
    try:
        row = asdict(to_row(record))
    except UnmappableRecord as error:
        raise click.ClickException(str(error)) from error
    if mapped or not raw:
        filled = {name: value for name, value in row.items() if value not in ("", None)}
        click.echo(json.dumps(filled, indent=2, default=str, ensure_ascii=False))


class _Keeping(HttpTransport):
    """Keeps the first reply, as it came: a second read is of no record, out of doubt."""

    reply: Reply | None = None

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The complete answer within the deadline. Raises NoAnswer."""
        reply = super().post(url, headers, body)
        self.reply = self.reply or reply
        return reply

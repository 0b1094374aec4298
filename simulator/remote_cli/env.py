"""`crm-simulator env`: what to set so that clients in any language trust the simulator."""

import json

import click

from simulator.options import Refused
from simulator.remote_cli.connection import Address, addressed


@click.command()
@click.option("--json", "as_json", is_flag=True, envvar="CRM_SIM_JSON", help="One JSON object.")
@addressed
def env(there: Address, as_json: bool) -> None:
    """Print exports for Python, curl, Node, Java and this command.

    For a POSIX shell: eval "$(crm-simulator env)". The simulator need not run, but must have
    run once: its first start makes the CA file.
    """
    from simulator import trust

    if there.ca is None and there.url.startswith("https:"):
        raise Refused(
            "There is no CA file: start the simulator first, or name the file with --ca or "
            "CRM_SIM_CA, or its folder with CRM_SIM_DATA_DIR."
        )
    ca = there.ca if there.url.startswith("https:") else None
    try:
        found = trust.variables(there.url, ca)
    except (OSError, ValueError) as error:
        raise Refused(f"The CA file {ca} cannot be used: {error}.") from error
    click.echo(json.dumps(found) if as_json else "\n".join(trust.export_lines(found)))

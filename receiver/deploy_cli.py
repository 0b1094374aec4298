"""`crm-receiver deploy`: the files that production needs, out of the installed package.

In: a file's name, or none. Out: its text, or the list of all. Exit codes: 0 done, 2 no such file.
"""

from pathlib import Path

import click

_PACKAGE = Path(__file__).parent
_FILES = {
    "README.md": (_PACKAGE, "from nothing to production, step by step"),
    "receiver.env": (_PACKAGE / "deploy", "settings, to be filled in"),
    "crm-receiver.service": (_PACKAGE / "deploy", "systemd unit"),
    "nginx.conf": (_PACKAGE / "deploy", "https in front of the receiver, by nginx"),
    "Caddyfile": (_PACKAGE / "deploy", "the same by Caddy"),
}


@click.command()
@click.argument("name", required=False, type=click.Choice(list(_FILES)), metavar="[FILE]")
def deploy(name: str | None) -> None:
    """Print a file for production, or what there is.

    For example: crm-receiver deploy nginx.conf > /etc/nginx/conf.d/crm-receiver.conf
    """
    if name is None:
        for file, (_, purpose) in _FILES.items():
            click.echo(f"{file:<22} {purpose}")
        return
    folder, _ = _FILES[name]
    click.echo((folder / name).read_text(encoding="utf-8"), nl=False)

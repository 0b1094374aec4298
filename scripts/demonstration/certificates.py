"""Certificates for loopback, made when they are needed; none is kept in the repository.

In: a folder. Out: a CA and a server certificate signed by it, as PEM files in that folder.
Killed here: make them again; nothing trusts the old ones.
"""

from dataclasses import dataclass
from pathlib import Path

import click
import trustme

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Certificates:
    """Where the PEM files are."""

    ca: Path
    cert: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """A new CA and a new server certificate for loopback, written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    server = authority.issue_cert(*LOOPBACK)
    authority.cert_pem.write_to_path(made.ca)
    made.cert.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    made.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(made.key)
    return made


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write a CA and a server certificate for loopback to FOLDER."""
    try:
        made = make_certificates(folder)
    except OSError as error:
        click.echo(f"{error.filename} cannot be written: {error.strerror}.", err=True)
        raise SystemExit(2) from error
    click.echo(f"CA to trust         {made.ca}")
    click.echo(f"Server certificate  {made.cert}")
    click.echo(f"Its key             {made.key}")


if __name__ == "__main__":
    main(prog_name="scripts/dev-certs")

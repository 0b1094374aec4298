"""Settings that contradict each other and certificates that nobody could use: a sentence each."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.integration.receiver.test_cli import SECRET, database, run

__all__ = ["database"]  # the fixture


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"WEB_PROCESSES": "2"}, "CRM_RECEIVER_WEB_PROCESSES is 2, but SQLite lets one process"),
        ({"WEB_PROCESSES": "0"}, "CRM_RECEIVER_WEB_PROCESSES is not usable"),
        ({"SECRET_OLD": "short"}, "CRM_RECEIVER_SECRET_OLD must have 16 or more characters"),
        ({"SECRET_OLD": SECRET}, "CRM_RECEIVER_SECRET and CRM_RECEIVER_SECRET_OLD are the same"),
        ({"HOST": "192.0.2.1"}, "CRM_RECEIVER_HOST is 192.0.2.1, where others could read"),
        ({"TRUSTED_PROXIES": "nginx"}, "CRM_RECEIVER_TRUSTED_PROXIES must be addresses or"),
        ({"HOST": "192.0.2.1", "TRUSTED_PROXIES": "10.0.0.0/8"}, "Port 0 on 192.0.2.1 cannot be"),
        ({"HOST": "crm.example.com"}, "CRM_RECEIVER_HOST is crm.example.com, but must be an addr"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "web"])
def test_settings_that_contradict_each_other_are_a_sentence(
    database: Path, command: str, settings: dict[str, str], sentence: str
) -> None:
    done = run(database, command, **settings)
    assert done.exit_code == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr


@pytest.mark.parametrize("url", ["https://", "https://crm.example.com:x", "crm.example.com"])
def test_a_url_that_names_no_server_is_a_sentence(database: Path, url: str) -> None:
    said = run(database, "serve", CRM_API_URL=url)
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith("CRM_RECEIVER_CRM_API_URL is not set to a URL.")
    said = run(database, "serve", ALARM_URL=url)
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith("CRM_RECEIVER_ALARM_URL must begin with https://")


@pytest.mark.parametrize("port", ["", "54x", "[::1"])
@pytest.mark.parametrize("command", ["migrate", "serve", "status"])
def test_a_database_url_with_an_odd_port_is_a_sentence(
    database: Path, command: str, port: str
) -> None:
    said = run(database, command, DATABASE_URL=f"postgresql+psycopg://u:hush@127.0.0.1:{port}/x")
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith("The database URL is not usable.")
    assert "CRM_RECEIVER_DATABASE_URL" in said.stderr
    assert "hush" not in said.stderr


def test_a_folder_for_json_lines_that_cannot_be_is_a_sentence(
    database: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    said = run(database, "serve", JSON_LINES=str(tmp_path / "file"))
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith(f"CRM_RECEIVER_JSON_LINES {tmp_path}/file cannot be a folder")


def test_urls_prints_the_new_secret(database: Path) -> None:
    done = run(
        database, "urls", "--base", "https://x.example", SECRET_OLD="the-secret-of-last-year"
    )
    assert done.stdout.count(SECRET) == 13
    assert "last-year" not in done.stdout


class Files:
    """A certificate and its key in two files."""

    def __init__(self, folder: Path, **dates: datetime) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.issued = trustme.CA().issue_cert("127.0.0.1", **dates)
        self.issued.cert_chain_pems[0].write_to_path(self.cert)
        self.issued.private_key_pem.write_to_path(self.key)

    def refused(self, database: Path) -> str:
        """What `serve` says of them."""
        done = run(database, "serve", TLS_CERT=str(self.cert), TLS_KEY=str(self.key))
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        return done.stderr


@pytest.mark.parametrize(
    ("begins", "ends", "sentence"), [(-9, -1, "expired on"), (1, 9, "is not valid before")]
)
def test_a_certificate_out_of_its_time_is_a_sentence(
    database: Path, tmp_path: Path, begins: int, ends: int, sentence: str
) -> None:
    now = datetime.now(UTC)
    files = Files(
        tmp_path, not_before=now + timedelta(days=begins), not_after=now + timedelta(days=ends)
    )
    assert sentence in files.refused(database)


def test_a_key_with_a_password_is_a_sentence_and_no_question(
    database: Path, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    assert "is protected by a password" in files.refused(database)


@pytest.mark.parametrize("which", ["cert", "key"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_files_that_hold_no_certificate_are_a_sentence(
    database: Path, tmp_path: Path, which: str, content: bytes | None
) -> None:
    files = Files(tmp_path)
    path: Path = getattr(files, which)
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    said = files.refused(database)
    assert "cannot be " in said
    assert "_ssl.c" not in said
    assert f"CRM_RECEIVER_TLS_{which.upper()}" in said


@pytest.mark.parametrize("content", ["", "nonsense"])
def test_an_authority_that_is_no_certificate_is_a_sentence(
    database: Path, tmp_path: Path, content: str
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(content)
    done = run(
        database,
        "work",
        CRM_API_URL="https://127.0.0.1:1",
        TENANT="acme",
        API_KEY="key",
        CRM_API_CA=str(ca),
    )
    assert done.exit_code == 2
    assert done.stderr == f"CRM_RECEIVER_CRM_API_CA {ca} holds no certificate in PEM format.\n"


def test_the_database_of_an_older_version_says_which_command(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE receiver_version SET version_num = '0001'")
        connection.commit()
    done = run(database, "serve")
    assert done.exit_code == 2
    assert done.stderr.endswith("Run `crm-receiver migrate`.\n")

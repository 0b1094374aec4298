"""`crm-receiver doctor` and `fetch` against a running simulator: what an operator is told."""

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization

from receiver.cli import main
from simulator.server import Simulator
from tests.forms import Browser
from tests.small_disk import cluster
from tests.tls_receiver import Authority, TlsReceiver

Run = Callable[..., Result]


@pytest.fixture
def run(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`crm-receiver` set up for the simulator, on a migrated database."""
    for name in [name for name in os.environ if name.startswith("CRM_")]:
        monkeypatch.delenv(name)
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'external.db'}",
        "SECRET": "a-secret-of-24-characters",
        "CRM_API_URL": simulator.url,
        "CRM_API_CA": str(simulator.ca_path),
        "TENANT": "demo",
        "USERNAME": "crmapi",
        "PASSWORD": "crmapi-demo",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CRM_RECEIVER_{name}", value)

    def call(*arguments: str, **changed: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changed.items():
                patch.setenv(f"CRM_RECEIVER_{name}", value)
            return CliRunner().invoke(main, list(arguments))

    assert call("migrate").exit_code == 0
    return call


def weights(done: Result) -> dict[str, str]:
    """The worst weight of each subject that the doctor spoke of."""
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        if line[:5].strip() in ("ok", "weak", "bad") and found.get(line[6:23].strip()) != "bad":
            found[line[6:23].strip()] = line[:5].strip()
    return found


def test_all_is_well(run: Run, tmp_path: Path) -> None:
    done = run("doctor", DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}")
    assert weights(done)["database"] == "bad"
    done = run("doctor")
    assert set(weights(done).values()) <= {"ok", "weak"}, done.stdout
    assert done.exit_code == 0
    assert done.stdout.count("It lets us read a ") == 4
    assert "crmapi-demo" not in done.stdout


def test_refused_credentials_are_told_with_what_to_do(run: Run) -> None:
    done = run("doctor", PASSWORD="wrong")
    assert done.exit_code == 1
    assert weights(done)["CRM API"] == "bad"
    assert "Integration > CRM API" in done.stdout


def test_a_missing_right_is_told_for_its_kind_alone(run: Run, simulator: Simulator) -> None:
    browser = Browser.of(simulator.app.test_client())
    page = browser.get("/config/integration/crm-api")
    rights = [right for right in page.form_to(page.path).fields["rights"] if right != "Case:Get"]
    browser.submit("/config/integration/crm-api", rights=rights)

    done = run("doctor")

    assert done.exit_code == 1
    assert "It refuses to let us read a case" in done.stdout
    assert "read a customer." in done.stdout
    assert "refuses to let us read a task" not in done.stdout


def test_an_api_that_does_not_answer_is_told_once(run: Run) -> None:
    done = run("doctor", CRM_API_URL="https://127.0.0.1:9")
    assert done.exit_code == 1
    assert done.stdout.count("bad   CRM API") == 1


def test_what_is_not_set_is_told_and_the_rest_is_looked_at(run: Run) -> None:
    done = run("doctor", SECRET="", TENANT="")
    assert done.exit_code == 1
    assert "CRM_RECEIVER_SECRET is not set." in done.stdout
    assert "CRM_RECEIVER_TENANT is not set" in done.stdout
    assert weights(done)["database"] == "ok"


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_an_authority_that_is_none_is_told(run: Run, tmp_path: Path, content: str | None) -> None:
    ca = tmp_path / "authority.pem"
    if content is not None:
        ca.write_text(content)
    done = run("doctor", CRM_API_CA=str(ca))
    assert done.exit_code == 1
    assert f"CRM_RECEIVER_CRM_API_CA {ca} " in done.stdout
    assert weights(done)["database"] == "ok"


def test_a_database_in_memory_is_weak_and_refused_by_strict(run: Run) -> None:
    memory = Path("/dev/shm")  # noqa: S108 memory is what is asked for
    if "tmpfs" not in Path("/proc/mounts").read_text() or not os.access(memory, os.W_OK):
        pytest.skip("There is no /dev/shm to put a database on.")
    path = memory / f"crm-trigger-kit-{os.getpid()}.db"
    try:
        url = f"sqlite:///{path}"
        assert run("migrate", DATABASE_URL=url).exit_code == 0
        done = run("doctor", DATABASE_URL=url)
        assert (weights(done)["durability"], done.exit_code) == ("weak", 0)
        assert "outlasts a process kill only" in done.stdout
        assert run("doctor", "--strict", DATABASE_URL=url).exit_code == 1
    finally:
        for left in memory.glob(f"{path.name}*"):
            left.unlink()


def test_a_server_without_fsync_is_weak_and_refused_by_strict(run: Run) -> None:
    with tempfile.TemporaryDirectory(prefix="receiver-doctor-") as folder:
        Path(folder).chmod(0o755)  # the user postgres has to reach it
        with cluster(Path(folder) / "server") as server:
            assert run("migrate", DATABASE_URL=server.url).exit_code == 0
            done = run("doctor", DATABASE_URL=server.url)
            assert (weights(done)["durability"], done.exit_code) == ("weak", 0)
            assert "PostgreSQL runs with fsync = off" in done.stdout
            assert run("doctor", "--strict", DATABASE_URL=server.url).exit_code == 1
            server.stop()
            assert weights(run("doctor", DATABASE_URL=server.url))["database"] == "bad"


def test_from_outside_a_certificate_of_our_own_is_not_trusted(
    run: Run, tls_receiver: TlsReceiver
) -> None:
    done = run("doctor", "--base", tls_receiver.url(""))
    assert done.exit_code == 1
    assert "is not trusted" in done.stdout
    assert "8x8 trusts public authorities only" in done.stdout


def test_from_outside_a_trusted_certificate_is_well(
    run: Run,
    receiver_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test's own authority stands in for a public one, as SSL_CERT_FILE lets it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(receiver_authority.path))
    with closing(TlsReceiver(receiver_authority)) as receiver:
        done = run("doctor", "--base", receiver.url(""))
    assert weights(done)["https"] == "ok"


@pytest.mark.parametrize(
    "base", ["http://crm.example.com", "crm.example.com", "https://", "https://crm.example.com:x"]
)
def test_a_base_that_is_none_is_asked_wrongly(run: Run, base: str) -> None:
    assert run("doctor", "--base", base).exit_code == 2


@pytest.mark.parametrize(
    ("days", "weight", "sentence"),
    [
        (-1, "bad", "both.pem expired on"),
        (5, "weak", "The certificate expires on"),
        (300, "ok", "Certificate and key fit."),
    ],
)
def test_an_old_certificate_is_told(
    run: Run, tmp_path: Path, days: int, weight: str, sentence: str
) -> None:
    until = datetime.now(UTC) + timedelta(days=days)
    leaf = trustme.CA().issue_cert("crm.example.com", not_after=until)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    both = str(tmp_path / "both.pem")
    done = run("doctor", TLS_CERT=both, TLS_KEY=both)
    assert weights(done)["certificate"] == weight
    assert sentence in done.stdout


def test_a_key_that_does_not_fit_is_told(run: Run, tmp_path: Path) -> None:
    ca = trustme.CA()
    one, other = ca.issue_cert("a.example"), ca.issue_cert("a.example")
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    other.private_key_pem.write_to_path(tmp_path / "key.pem")
    done = run("doctor", TLS_CERT=str(tmp_path / "cert.pem"), TLS_KEY=str(tmp_path / "key.pem"))
    assert weights(done)["certificate"] == "bad"
    assert "CRM_RECEIVER_TLS_KEY" in done.stdout


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(run: Run, tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("a.example")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hush"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    done = run("doctor", TLS_CERT=str(tmp_path / "cert.pem"), TLS_KEY=str(tmp_path / "key.pem"))
    assert weights(done)["certificate"] == "bad"
    assert "is protected by a password: store it without one" in done.stdout


def test_fetch_prints_the_row_that_a_record_becomes(run: Run, simulator: Simulator) -> None:
    browser = Browser.of(simulator.app.test_client())
    browser.submit("/agent/customers/new", firstname="Ada", lastname="Çelik")

    mapped = run("fetch", "customer", "10000000")
    assert mapped.exit_code == 0
    assert '"first_name": "Ada"' in mapped.stdout
    assert '"last_name": "Çelik"' in mapped.stdout
    raw = run("fetch", "customer", "10000000", "--raw")
    assert raw.stdout.startswith("<?xml")
    assert "<FIRSTNAME>Ada</FIRSTNAME>" in raw.stdout
    assert "first_name" not in raw.stdout
    both = run("fetch", "customer", "10000000", "--raw", "--mapped")
    assert "<FIRSTNAME>" in both.stdout
    assert '"first_name"' in both.stdout


def test_fetch_prints_a_reply_that_cannot_be_used(run: Run, simulator: Simulator) -> None:
    """The one about this record; doubt lets the API be asked a second time."""
    fault = simulator.faults.add("truncated_xml", times=1)
    done = run("fetch", "customer", "77", "--raw")
    simulator.faults.clear(fault)
    assert done.exit_code == 1
    assert "Error: The reply is not well-formed XML" in done.stderr
    assert done.stdout != ""
    assert "</WAPI>" not in done.stdout


def test_fetch_says_what_is_not_there_and_what_is_refused(run: Run) -> None:
    missing = run("fetch", "task", "77")
    assert (missing.exit_code, missing.stderr) == (1, "Error: The CRM API knows no task 77.\n")
    refused = run("fetch", "task", "77", PASSWORD="wrong")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ")
    assert run("fetch", "agent", "77").exit_code == 2

"""The simulator as one object: it listens when it says so, and leaves nothing behind."""

import socket
import sqlite3
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import requests

from simulator import serving
from simulator.certificates import own_authority, own_certificates
from simulator.db import DatabaseUnusable
from simulator.local_crm.models import Agent, ApiAccess
from simulator.local_crm.secrets import check_secret
from simulator.server import Simulator, StartRefused
from simulator.settings import Settings
from simulator.triggers.sender import CaFileUnusable
from tests.tls_receiver import PATIENCE_S, open_sockets


def get(simulator: Simulator, path: str = "/") -> requests.Response:
    """A page, with the simulator's own CA as the only one trusted."""
    return requests.get(simulator.url + path, verify=str(simulator.ca_path), timeout=PATIENCE_S)


def connect(simulator: Simulator) -> socket.socket:
    """A client that has said nothing yet."""
    host, _, port = simulator.url.removeprefix("https://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    threads, sockets = set(threading.enumerate()), open_sockets()
    yield
    assert set(threading.enumerate()) == threads
    assert open_sockets() == sockets


def test_it_serves_https_with_a_certificate_of_its_own(simulator: Simulator) -> None:
    assert simulator.url.startswith("https://127.0.0.1:")
    assert get(simulator).status_code == 200


def test_without_tls_it_serves_http(sim_settings: Settings) -> None:
    with Simulator(sim_settings.model_copy(update={"tls": False})) as simulator:
        assert simulator.url.startswith("http://127.0.0.1:")
        assert simulator.ca_path is None
        assert requests.get(simulator.url, timeout=PATIENCE_S).status_code == 200


def test_silent_clients_delay_nobody_and_are_hung_up_on_at_stop(
    sim_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_SILENCE_S", 3600.0)  # nobody is hung up on for being silent
    simulator = Simulator(sim_settings)
    with nothing_left_behind(), ExitStack() as clients:
        simulator.start()
        for _ in range(20):
            clients.enter_context(connect(simulator))
        trusting = ssl.create_default_context(cafile=str(simulator.ca_path))
        shaken_hands = clients.enter_context(
            trusting.wrap_socket(connect(simulator), server_hostname="127.0.0.1")
        )
        assert get(simulator).status_code == 200
        stopping = threading.Thread(target=simulator.stop, daemon=True)
        stopping.start()
        stopping.join(PATIENCE_S)
        assert not stopping.is_alive()
        assert shaken_hands.recv(1) == b""


def test_failed_handshakes_print_nothing(
    sim_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with Simulator(sim_settings) as simulator:
        with connect(simulator) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with connect(simulator):
            pass
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(simulator.url, timeout=PATIENCE_S)
        assert get(simulator).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_requests_leave_no_thread_and_no_socket(sim_settings: Settings) -> None:
    with nothing_left_behind(), Simulator(sim_settings) as simulator:
        assert {get(simulator).status_code for _ in range(10)} == {200}


def test_it_may_be_stopped_twice_and_started_again(sim_settings: Settings) -> None:
    simulator = Simulator(sim_settings)
    for _ in range(2):
        simulator.start()
        assert get(simulator).status_code == 200
        simulator.stop()
        simulator.stop()


def test_a_port_in_use_is_refused_with_what_to_set(
    simulator: Simulator, sim_settings: Settings
) -> None:
    port = int(simulator.url.rpartition(":")[2])
    second = Simulator(sim_settings.model_copy(update={"port": port}))
    with nothing_left_behind(), pytest.raises(StartRefused) as refusal:
        second.start()
    assert str(refusal.value).startswith(
        f"Port {port} on 127.0.0.1 cannot be used: Address already"
    )
    second.stop()  # nothing to stop


def test_what_cannot_be_used_is_refused_and_leaves_nothing_behind(
    sim_settings: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("this is no database, nor a certificate\n" * 100)
    for change, refusal in (
        ({"database": broken}, DatabaseUnusable),
        ({"trigger_ca": broken}, CaFileUnusable),
        ({"tls_cert": broken, "tls_key": broken}, StartRefused),
        ({"tls_cert": broken}, StartRefused),
        ({"data_dir": broken}, StartRefused),
        ({"host": "no.such.host.invalid"}, StartRefused),
    ):
        with nothing_left_behind(), pytest.raises(refusal) as error:
            Simulator(sim_settings.model_copy(update=change)).start()
        assert len(str(error.value).splitlines()) == 1


def test_certificates_last_until_the_host_changes_and_the_authority_longer(tmp_path: Path) -> None:
    def kept(host: str) -> tuple[bytes, bytes]:
        found = own_certificates(own_authority(tmp_path), host)
        assert stat.S_IMODE(found.key.stat().st_mode) == 0o600
        return found.ca.read_bytes(), found.certificate.read_bytes()

    first = kept("127.0.0.1")
    assert kept("localhost") == first
    renamed = kept("crm.example.com")
    assert renamed[0] == first[0]
    assert renamed[1] != first[1]
    (tmp_path / "server.pem").unlink()  # a set that is not whole is made anew
    assert kept("crm.example.com")[1] not in (first[1], renamed[1])
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    (tmp_path / "ca.key").unlink()
    assert kept("crm.example.com")[0] != first[0]


def test_a_first_start_brings_agents_and_api_access_and_a_second_changes_nothing(
    simulator: Simulator, sim_settings: Settings
) -> None:
    with simulator.services.sessions.begin() as session:
        agents = [(agent.agent_id, agent.name) for agent in session.query(Agent)]
        assert agents == [(f"ag{1000 + n}", f"Agent {n}") for n in range(1, 6)]
        access = session.get_one(ApiAccess, 1)
        assert (access.enabled, access.tenant, access.used_identity) == (True, "demo", "ag1001")
        assert check_secret(access.password_hash, "crmapi-demo")
        assert check_secret(access.api_key_hash, "demo-api-key")
        access.tenant = "changed"
    with Simulator(sim_settings) as again, again.services.sessions() as session:
        assert session.get_one(ApiAccess, 1).tenant == "changed"


def test_a_database_of_another_version_is_refused_with_a_sentence(sim_settings: Settings) -> None:
    with closing(sqlite3.connect(sim_settings.database_path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(DatabaseUnusable, match=r"made by another version.*CRM_SIM_DATABASE"):
        Simulator(sim_settings).start()

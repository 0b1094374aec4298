"""How a receiver is tested with pytest: the fixture `crm_sim` plays the 8x8 side.

Copy this file and toy_receiver.py into a folder and run `pytest` there.
"""

from pathlib import Path

import pytest
import requests
from toy_receiver import make_app  # your receiver

from simulator import Simulator, delivered, idle


@pytest.fixture
def receiver_url(crm_sim: Simulator) -> str:
    """The receiver over https, with its URL in all twelve boxes of CRM Triggers."""
    known = crm_sim.credentials
    app = make_app(crm_sim.url, known.tenant, str(known.api_key), Path(str(crm_sim.ca_path)))
    url = crm_sim.serve(app)
    crm_sim.triggers.set_all(url + "/triggers/{kind}/{event}")
    return url


def kept(crm_sim: Simulator, receiver_url: str, number: str) -> dict[str, str] | None:
    """What the receiver knows of a customer."""
    reply = requests.get(
        f"{receiver_url}/customers/{number}", verify=str(crm_sim.ca_path), timeout=10
    )
    return reply.json() if reply.ok else None


def test_a_new_customer_arrives(crm_sim: Simulator, receiver_url: str) -> None:
    customer = crm_sim.agent.create_customer(firstname="Zoë", lastname="Müller")

    crm_sim.wait(delivered(customer))

    found = kept(crm_sim, receiver_url, customer.record_id)
    assert found is not None
    assert (found["FIRSTNAME"], found["LASTNAME"]) == ("Zoë", "Müller")


def test_an_edit_replaces_what_was_kept(crm_sim: Simulator, receiver_url: str) -> None:
    customer = crm_sim.agent.create_customer(firstname="Ada", lastname="Byron")
    crm_sim.agent.edit_customer(customer, lastname="Lovelace")

    crm_sim.wait(idle)

    found = kept(crm_sim, receiver_url, customer.record_id)
    assert found is not None
    assert found["LASTNAME"] == "Lovelace"
    crm_sim.deliveries.assert_delivered(customer, event="Edit", times=1)


def test_a_deleted_customer_goes(crm_sim: Simulator, receiver_url: str) -> None:
    customer = crm_sim.agent.create_customer(firstname="Ada", lastname="Byron")
    crm_sim.wait(delivered(customer))
    crm_sim.agent.delete_customer(customer)

    crm_sim.wait(idle)

    assert kept(crm_sim, receiver_url, customer.record_id) is None

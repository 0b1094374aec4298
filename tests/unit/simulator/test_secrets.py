"""Secrets are kept as hashes, and checked slowly only once."""

import pytest

from simulator.local_crm import secrets
from simulator.local_crm.api_access import verify, verify_key
from simulator.local_crm.first_start import ALL_RIGHTS
from simulator.local_crm.models import ApiAccess
from simulator.local_crm.secrets import check_secret, hash_secret


@pytest.fixture(scope="module")
def stored() -> str:
    return hash_secret("pässword")


def test_a_hash_fits_its_secret_and_no_other(stored: str) -> None:
    assert "pässword" not in stored
    assert check_secret(stored, "pässword")
    assert not check_secret(stored, "password")
    assert not check_secret(stored, "")
    assert not check_secret("", "pässword")


def test_bytes_that_are_no_text_are_just_wrong(stored: str) -> None:
    assert not check_secret(stored, "\udcff")


def test_a_success_is_remembered_and_a_failure_is_not(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    real = secrets.check_password_hash

    def counted(stored_hash: str, given: str) -> bool:
        computed.append(given)
        return real(stored_hash, given)

    monkeypatch.setattr(secrets, "check_password_hash", counted)
    monkeypatch.setattr(secrets, "_remembered", set())
    assert [check_secret(stored, "pässword") for _ in range(3)] == [True] * 3
    assert [check_secret(stored, "wrong") for _ in range(2)] == [False] * 2
    assert computed == ["pässword", "wrong", "wrong"]


def test_a_changed_password_forgets_the_old_one(stored: str) -> None:
    assert check_secret(stored, "pässword")
    assert not check_secret(hash_secret("other"), "pässword")


def test_access_needs_tenant_name_and_password_or_tenant_and_key(stored: str) -> None:
    access = ApiAccess(tenant="démo", username="crmapi", password_hash=stored, api_key_hash=stored)
    assert verify(access, "démo", "crmapi", "pässword")
    assert not verify(access, "other", "crmapi", "pässword")
    assert not verify(access, "démo", "other", "pässword")
    assert not verify(access, "démo", "crmapi", "other")
    assert not verify(access, "\udcff", "crmapi", "pässword")
    assert verify_key(access, "démo", "pässword")
    assert not verify_key(access, "other", "pässword")
    assert not verify_key(access, "démo", "other")


def test_the_api_has_no_right_to_delete_or_to_modify_followups() -> None:
    assert "Customer:Modify" in ALL_RIGHTS
    assert "Followup:Modify" not in ALL_RIGHTS
    assert not any("Delete" in right for right in ALL_RIGHTS)

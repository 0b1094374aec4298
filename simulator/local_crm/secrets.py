"""Passwords and keys that are kept as hashes only.

In: a secret as it was typed or sent. Out: its hash for the database, or whether it fits one.
Killed here: nothing is kept but the hash; what was already checked is checked anew.

A hash that is slow to compute would be computed for every CRM API request, so a check that
succeeded is remembered in memory, under a key that lives and dies with the process.
"""

import hashlib
import hmac
import os
from threading import Lock

from werkzeug.security import check_password_hash, generate_password_hash

_PROCESS_KEY = os.urandom(32)
_REMEMBERED_AT_MOST = 256
_remembered: set[bytes] = set()
_lock = Lock()


def hash_secret(plain: str, *, quickly: bool = False) -> str:
    """A salted hash that says by itself how it was made.

    quickly: for secrets that a test's settings say in clear text; guessing them is not made hard.
    """
    return generate_password_hash(plain, method="pbkdf2:sha256:1" if quickly else "scrypt")


def check_secret(stored_hash: str, given: str) -> bool:
    """Whether `given` is the secret behind `stored_hash`, in constant time."""
    try:
        digest = _digest(stored_hash, given)
    except UnicodeEncodeError:
        return False  # bytes that are no text, as a header or a broken form can carry
    with _lock:
        if digest in _remembered:
            return True
    if not check_password_hash(stored_hash, given):
        return False
    with _lock:
        if len(_remembered) >= _REMEMBERED_AT_MOST:
            _remembered.clear()
        _remembered.add(digest)
    return True


def _digest(stored_hash: str, given: str) -> bytes:
    # The hash is part of the digest, so a changed password forgets the old one by itself.
    message = stored_hash.encode() + b"\0" + given.encode()
    return hmac.digest(_PROCESS_KEY, message, hashlib.sha256)

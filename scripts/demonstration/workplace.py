"""The folder in which a demo keeps databases, certificates and logs.

In: nothing, or a folder to keep. Out: a folder that is removed afterwards, unless it is to be kept
or something failed in it: then its logs are needed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.demonstration.processes import CannotStart


class Workplace:
    """The folder, and whether it stays."""

    def __init__(self, folder: Path, keep: bool) -> None:
        self.folder = folder
        self.keep = keep


@contextmanager
def workplace(kept: Path | None) -> Iterator[Workplace]:
    """`kept` when given, which must be empty or not there yet; else a temporary folder."""
    place = Workplace(_own(kept) if kept else _temporary(), keep=kept is not None)
    try:
        yield place
    finally:
        if not place.keep:
            shutil.rmtree(place.folder, ignore_errors=True)


def _own(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise CannotStart(f"The folder {folder} cannot be used: {error.strerror}.") from error
    if used:
        raise CannotStart(f"The folder {folder} is not empty. Name one that is, or a new one.")
    return folder.resolve()


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="crm-trigger-kit-demo-")).resolve()

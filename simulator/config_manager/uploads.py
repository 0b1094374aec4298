"""CSV files that were uploaded and wait for their columns to be mapped.

In: an uploaded file. Out: a file in the data folder, and an Upload by which it is found again. The
address of the mapping page carries all that an Upload says. Beside the file lies what a survey of
it found: a page must not read a long file once more to show its first line.
Killed here: the file stays, and can still be mapped; a survey that is not there is made anew.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from werkzeug.datastructures import FileStorage

from simulator.local_crm import csv_import
from simulator.local_crm.csv_import import ImportRefused, OtherEncoding, Survey
from simulator.services import services
from simulator.triggers.urls import Kind

ENCODINGS = dict(zip(csv_import.ENCODINGS, ("UTF-8", "Latin-1"), strict=True))
_FOLDER = "imports"
_KEPT = 50  # uploads that nobody has mapped; the oldest goes
_LONGEST_NAME = 100
_TOKEN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded, and what was said about it."""

    token: str
    name: str  # as the administrator's machine calls it
    kind: Kind
    encoding: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return _folder() / f"{self.token}.csv"

    def in_words(self, refused: ImportRefused) -> str:
        """What is wrong with the file, for who uploaded it."""
        sentence = str(refused)
        if isinstance(refused, OtherEncoding):
            sentence = f"{refused.fact} Save it as UTF-8, or choose another encoding."
        return sentence.replace(str(self.path), self.name)


def store(file: FileStorage, kind: Kind, encoding: str) -> Upload:
    """Keep an uploaded file. Raises ImportRefused for one that cannot be loaded at all; then
    nothing is kept.
    """
    folder = _folder()
    folder.mkdir(exist_ok=True)
    kept = sorted(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: -(_KEPT - 1)]:
        path.unlink(missing_ok=True)
        _survey_path(path).unlink(missing_ok=True)
    name = (file.filename or "")[-_LONGEST_NAME:] or "The file"
    upload = Upload(secrets.token_hex(16), name, kind, encoding)
    file.save(upload.path)
    try:
        if not survey(upload).total:
            raise ImportRefused(f"{upload.name} has column names, but no record below them.")
    except ImportRefused as refused:
        upload.path.unlink(missing_ok=True)
        _survey_path(upload.path).unlink(missing_ok=True)
        raise ImportRefused(upload.in_words(refused)) from refused
    return upload


def survey(upload: Upload) -> Survey:
    """What the file has."""
    beside = _survey_path(upload.path)
    if not beside.exists():
        beside.write_text(json.dumps(csv_import.survey(upload.path, upload.encoding)))
    return Survey(*json.loads(beside.read_text()))


def find(token: str, about: Mapping[str, str]) -> Upload | None:
    """The upload that an address tells of, if its file is still there."""
    kind, encoding = about.get("kind", ""), about.get("encoding", "")
    if not _TOKEN.fullmatch(token) or kind not in list(Kind) or encoding not in ENCODINGS:
        return None
    name = about.get("name", "")[-_LONGEST_NAME:] or "The file"
    upload = Upload(token, name, Kind(kind), encoding)
    return upload if upload.path.exists() else None


def take(upload: Upload) -> Path | None:
    """The file for the one load that it is for; None: another load has it already."""
    taken = upload.path.with_suffix(".loading")
    try:
        upload.path.replace(taken)
    except FileNotFoundError:
        return None
    _survey_path(upload.path).unlink(missing_ok=True)
    return taken


def _survey_path(file: Path) -> Path:
    return file.with_suffix(".json")


def _folder() -> Path:
    return services().settings.data_dir / _FOLDER

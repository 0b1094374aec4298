"""The pages of CRM > Imports: choose a CSV file, map its columns, watch it being loaded.

In: an administrator's request. Out: a page or a redirect. The file is checked to its end before a
column is mapped, the mapping before a row is loaded. Nothing here fires a trigger.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

from flask import abort, redirect, render_template, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge

from simulator.config_manager import uploads
from simulator.config_manager.uploads import Upload
from simulator.db import read_session
from simulator.local_crm import csv_import
from simulator.local_crm.background import Tell, Work
from simulator.local_crm.csv_import import ImportRefused, Report, Survey
from simulator.local_crm.fields import Field
from simulator.services import services
from simulator.triggers.urls import Kind
from simulator.web.answers import Page
from simulator.web.errors import show_error

MAX_UPLOAD_BYTES = 100_000_000  # 50,000 records of two thousand characters
UPLOAD = "config_crm.upload"  # the endpoint that takes them
_NOTHING_CHOSEN: Mapping[str, str] = {}
_SHOWN_CELL = 60


@dataclass(frozen=True)
class _Column:
    """One column of the file on the mapping page."""

    position: int
    name: str
    example: str
    is_only_one: bool  # of that name: the others cannot be told apart
    field: str  # tag of the field that it goes into; empty: it is left out


def show_imports() -> Page:
    """Choose a file; below, the loads so far."""
    return _imports_page()


def upload() -> Page:
    """Keep the file and go on to its columns, unless it cannot be loaded at all."""
    file = request.files.get("file")
    kind, encoding = request.form.get("kind", ""), request.form.get("encoding", "")
    if kind not in list(Kind) or encoding not in uploads.ENCODINGS:
        return _imports_page(
            "Choose the object and the encoding from the lists.", request.form
        ), 422
    if file is None or not file.filename:
        return _imports_page("Choose a file.", request.form), 422
    try:
        with closing(file):
            kept = uploads.store(file, Kind(kind), encoding)
    except ImportRefused as refused:
        return _imports_page(f"{refused} Nothing was loaded.", request.form), 422
    about = {"kind": kept.kind.value, "encoding": encoding, "name": kept.name}
    return redirect(f"{url_for('.show_mapping', token=kept.token)}?{urlencode(about)}")


def refuse_too_large(error: RequestEntityTooLarge) -> Page:
    """The sentence for a file beyond the limit, on the page that it was sent from."""
    if request.endpoint != UPLOAD:
        return show_error(error)
    megabytes = MAX_UPLOAD_BYTES // 1_000_000
    sentence = f"The file is larger than {megabytes} MB, the most that one import takes. Split it."
    return _imports_page(f"{sentence} Nothing was loaded."), 413


def show_mapping(token: str) -> Page:
    """Which column goes into which field: names that are alike are mapped already."""
    kept = _existing(token)
    survey, fields = uploads.survey(kept), _loadable(kept.kind)
    return _mapping_page(kept, survey, fields, _likely(survey.header, fields))


def begin(token: str) -> Page:
    """Load the file in the background and go to the page that shows how far it is."""
    kept = _existing(token)
    survey = uploads.survey(kept)
    chosen = [request.form.get(f"column-{i}", "") for i in range(len(survey.header))]
    mapping = {name: tag for name, tag in zip(survey.header, chosen, strict=True) if tag}
    try:
        with read_session(services().engine) as session:
            csv_import.check_mapping(session, kept.kind, survey.header, mapping)
    except ImportRefused as refused:
        fields = _loadable(kept.kind)
        page = _mapping_page(kept, survey, fields, chosen, kept.in_words(refused))
        return page, 422
    file = uploads.take(kept)
    if file is None:
        _gone()
    work = _work(kept, file, mapping)
    load = services().loads.begin(kept.name, kept.kind, survey.total, work, Report())
    return redirect(url_for(".show_load", number=load.number))


def _work(kept: Upload, file: Path, mapping: dict[str, str]) -> Work[Report]:
    found = services()  # in the thread there is no request to ask

    def work(tell: Tell) -> Report:
        try:
            now = found.clock.now()
            return csv_import.import_csv(
                *(found.sessions, file, kept.kind, mapping, now),
                encoding=kept.encoding,
                on_progress=tell,
            )
        except ImportRefused as refused:
            raise ImportRefused(str(refused).replace(str(file), kept.name)) from refused
        finally:
            file.unlink(missing_ok=True)

    return work


def _imports_page(problem: str = "", chosen: Mapping[str, str] = _NOTHING_CHOSEN) -> str:
    return render_template(
        "config_manager/imports.html",
        problem=problem,
        kinds=list(Kind),
        encodings=uploads.ENCODINGS,
        chosen=chosen,
        most_records=csv_import.MOST_RECORDS,
        loads=services().loads.newest_first(),
    )


def _mapping_page(
    kept: Upload, survey: Survey, fields: Sequence[Field], chosen: Sequence[str], problem: str = ""
) -> str:
    cells = survey.first + [""] * len(survey.header)
    columns = [
        _Column(i, name, cells[i][:_SHOWN_CELL], survey.header.count(name) == 1, chosen[i])
        for i, name in enumerate(survey.header)
    ]
    return render_template(
        "config_manager/import_mapping.html",
        upload=kept,
        encodings=uploads.ENCODINGS,
        total=survey.total,
        columns=columns,
        fields=fields,
        problem=problem,
    )


def _loadable(kind: Kind) -> list[Field]:
    with read_session(services().engine) as session:
        return csv_import.loadable(session, kind)


def _likely(header: Sequence[str], fields: Sequence[Field]) -> list[str]:
    """For each column the field that is called alike, once; empty where none is."""
    by_name = {_bare(name): f.tag for f in fields for name in (f.label, f.tag)}
    found: list[str] = []
    for column in header:
        tag = by_name.get(_bare(column), "")
        found.append("" if tag in found or header.count(column) > 1 else tag)
    return found


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _existing(token: str) -> Upload:
    return uploads.find(token, request.args) or _gone()


def _gone() -> NoReturn:
    abort(404, "This upload is loaded already, or gone. Choose the file again in CRM > Imports.")

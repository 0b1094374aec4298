"""Every fault there is, as data: what breaks, on which calls, with what parameters, for how long.

In: JSON, or arguments by the same names. Out: a Fault, or pydantic's ValidationError with a
sentence for each field that is wrong. A fault not listed here does not exist: a new one is a
class, a place in AnyFault, and an effect where calls are sent (triggers/faulty.py) or answered
(crm_api/faulty.py).

Faults are tools of a test. None of them says anything about 8x8.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    RootModel,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from simulator.objects import Event, Kind

LONGEST_S = 30 * 86_400.0  # no test wants more, and no sum with an instant overflows


class Where(StrEnum):
    """On which calls a fault acts."""

    TRIGGER = "trigger"  # those the simulator makes
    CRM_API = "crm_api"  # those it answers


Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Fault(BaseModel):
    """What all faults share: which calls are hit, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    where: ClassVar[Where]
    once_per_call: ClassVar[bool] = False  # True: hits a delivery once, however often it is due

    fault: str
    kind: Kind | None = Field(None, description="Only calls about records of this kind.")
    record: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Only calls that name the record with this number.",
    )
    nth: Count | None = Field(None, description="Only the nth of these calls.")
    first: Count | None = Field(None, description="Only the first so many of these calls.")
    every: Count | None = Field(None, description="Only every nth of these calls.")
    probability: float | None = Field(
        None, ge=0, le=1, description="Only this share of these calls, drawn from the seed."
    )
    per_record: bool = Field(
        False, description="Count nth, first and every for each record by itself."
    )
    times: Count | None = Field(None, description="Over once it was hit so many times.")
    for_s: Seconds | None = Field(
        None, description="Over after so many seconds of the simulator's clock."
    )

    @field_validator("first", "every", "probability")
    @classmethod
    def _only_one_choice(cls, value: float | None, info: ValidationInfo) -> float | None:
        choices = ("nth", "first", "every", "probability")
        other = next((n for n in choices if info.data.get(n) is not None), None)
        if value is not None and other is not None:
            raise PydanticCustomError(
                "two_choices", f"Give either {other} or {info.field_name}, not both."
            )
        return value

    @property
    def times_per_record(self) -> int | None:
        """How often one record may be hit; None is no limit."""
        return None


class TriggerFault(Fault):
    """A fault of the calls that the simulator makes; `record` is the one that the trigger names."""

    where = Where.TRIGGER

    event: Event | None = Field(None, description="Only triggers of this event.")


class ApiFault(Fault):
    """A fault of the calls that the simulator answers. A call names a record where its own
    number is among its tags; a list names none. Calls that are refused anyway are not counted.
    """

    where = Where.CRM_API

    action: Literal["Get", "Add", "Modify"] | None = Field(
        None, description="Only calls with this ACTION."
    )


class _Reading(ApiFault):
    action: Literal["Get"] = Field("Get", description="Only reads.")


# --- triggers -----------------------------------------------------------------------------------


class LoseRequest(TriggerFault):
    """The trigger gets lost: the receiver hears nothing, the sender sees a timeout."""

    fault: Literal["lose_request"] = "lose_request"


class LoseAnswer(TriggerFault):
    """The receiver does its work; its answer gets lost and the sender sees a timeout."""

    fault: Literal["lose_answer"] = "lose_answer"


class Duplicate(TriggerFault):
    """The trigger comes again as soon as it was answered; the first answer counts."""

    fault: Literal["duplicate"] = "duplicate"
    count: int = Field(1, ge=1, le=100, description="How many copies follow.")


class ConcurrentDuplicate(TriggerFault):
    """The trigger comes several times at the same moment; one of the answers counts."""

    fault: Literal["concurrent_duplicate"] = "concurrent_duplicate"
    count: int = Field(1, ge=1, le=15, description="How many copies come with it.")


class Storm(TriggerFault):
    """The trigger comes again and again, many at a time; one of the answers counts."""

    fault: Literal["storm"] = "storm"
    count: int = Field(50, ge=1, le=1000, description="How many copies come with it.")


class NeverSend(TriggerFault):
    """The trigger is given up without a call, as exhausted; only redelivery brings it."""

    fault: Literal["never_send"] = "never_send"


class _HoldBack(TriggerFault):
    once_per_call = True

    delay_s: Seconds = Field(
        3600, description="Sent after so many seconds of the simulator's clock at the latest."
    )


class Reorder(_HoldBack):
    """The trigger is sent only after others were; one at a time is held back."""

    fault: Literal["reorder"] = "reorder"
    count: int = Field(1, ge=1, le=1000, description="How many other triggers go first.")


class DelayPastNextEdit(_HoldBack):
    """The trigger is sent only after its record was changed or deleted once more."""

    fault: Literal["delay_past_next_edit"] = "delay_past_next_edit"


# --- the CRM API --------------------------------------------------------------------------------


class HttpError(ApiFault):
    """An HTTP error and a page of HTML instead of a reply; nothing was done."""

    fault: Literal["http_error"] = "http_error"
    status: int = Field(500, ge=400, le=599, description="The HTTP status: 500, 503, 429, ...")
    retry_after_s: int | None = Field(
        None, ge=0, le=86_400, description="Seconds in the header Retry-After; none without it."
    )


class _NoReply(ApiFault):
    work_done: bool = Field(
        False, description="Whether Add and Modify take effect although nobody hears of it."
    )


class Timeout(_NoReply):
    """No reply: the connection stays open until the caller leaves or the fault is cleared."""

    fault: Literal["timeout"] = "timeout"
    delay_s: float = Field(
        60,
        ge=0,
        le=3600,
        description="Real seconds before the connection is closed, whatever the clock says.",
    )


class ConnectionReset(_NoReply):
    """The connection is reset (RST) instead of a reply."""

    fault: Literal["connection_reset"] = "connection_reset"


class EmptyReply(_NoReply):
    """HTTP 200 and not one byte of a reply."""

    fault: Literal["empty_reply"] = "empty_reply"


class SlowDrip(ApiFault):
    """The whole reply, a few bytes at a time."""

    fault: Literal["slow_drip"] = "slow_drip"
    delay_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="Real seconds until the last byte, whatever the clock says.",
    )


class TruncatedXml(ApiFault):
    """HTTP 200 and a reply whose end is missing."""

    fault: Literal["truncated_xml"] = "truncated_xml"
    keep: float = Field(0.5, ge=0, lt=1, description="Which share of the bytes is sent.")


class MalformedXml(ApiFault):
    """HTTP 200 and a reply that is not well-formed XML."""

    fault: Literal["malformed_xml"] = "malformed_xml"


class WrongEncoding(ApiFault):
    """The XML declaration lies about the bytes that follow; seen only where they are not ASCII."""

    fault: Literal["wrong_encoding"] = "wrong_encoding"
    declared: Literal["UTF-8", "ISO-8859-1"] = Field(
        "UTF-8",
        description="UTF-8 over bytes in ISO-8859-1, which parsers refuse; or ISO-8859-1 over "
        "bytes in UTF-8, which they take for other characters.",
    )


class NotFoundFirst(_Reading):
    """The first reads of each record find nothing, later ones find it."""

    fault: Literal["not_found_first"] = "not_found_first"
    count: int = Field(1, ge=1, le=1000, description="How many reads of each record find nothing.")

    @property
    def times_per_record(self) -> int:
        """As many reads as are to find nothing."""
        return self.count


class StaleRead(_Reading):
    """Reads show the records as they were: edits, creations and deletes are not visible yet."""

    fault: Literal["stale_read"] = "stale_read"
    stale_s: Seconds = Field(5, description="How many seconds old the answer is.")


class PartialList(_Reading):
    """Of several records that were found only the first are in the reply, which says nothing."""

    fault: Literal["partial_list"] = "partial_list"
    count: int | None = Field(
        None, ge=0, le=1_000_000, description="How many records are in the reply; else half."
    )


class ExpiredCredentials(ApiFault):
    """Tenant, user, password and key are refused as if they were wrong."""

    fault: Literal["expired_credentials"] = "expired_credentials"


AnyFault = Annotated[
    LoseRequest
    | LoseAnswer
    | Duplicate
    | ConcurrentDuplicate
    | Reorder
    | DelayPastNextEdit
    | Storm
    | NeverSend
    | HttpError
    | Timeout
    | ConnectionReset
    | SlowDrip
    | TruncatedXml
    | MalformedXml
    | WrongEncoding
    | EmptyReply
    | NotFoundFirst
    | StaleRead
    | PartialList
    | ExpiredCredentials,
    Field(discriminator="fault"),
]
FAULTS: dict[str, type[Fault]] = {
    fault.model_fields["fault"].default: fault for fault in get_args(get_args(AnyFault)[0])
}


class NewFault(RootModel[AnyFault]):
    """A fault to add: `NewFault.model_validate({"fault": "lose_answer", "first": 2}).root`."""

    @model_validator(mode="wrap")
    @classmethod
    def _name_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Name what is wrong as the caller wrote it: `stale_s`, not `stale_read.stale_s`."""
        try:
            return handler(data)
        except ValidationError as error:
            wrong = [_plainly(data, one) for one in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, wrong) from None


def _plainly(data: Any, error: Any) -> InitErrorDetails:
    if not isinstance(data, dict):
        return _error((), "A fault is an object such as {example}.", example='{"fault": "storm"}')
    name = data.get("fault")
    fault = FAULTS.get(name) if isinstance(name, str) else None
    if fault is None:
        known = ", ".join(FAULTS)
        said = "Name the fault" if name is None else f"There is no fault {str(name)[:64]!r}"
        return _error(("fault",), "{said}. There are: {known}.", said=said, known=known)
    field = error["loc"][1:]
    if error["type"] == "extra_forbidden":
        takes = ", ".join(known for known in fault.model_fields if known != "fault")
        return _error(
            field, "{name} has no parameter {field}; it takes {takes}.",
            name=name, field=field[0], takes=takes,
        )  # fmt: skip
    return _error(field, "{message}.", message=error["msg"].rstrip("."))


def _error(loc: tuple[int | str, ...], sentence: str, **about: Any) -> InitErrorDetails:
    kind = PydanticCustomError("wrong_fault", sentence, about)
    return InitErrorDetails(type=kind, loc=loc, input=None)

"""What the CRM API refuses, with what number and in what sentence: the one catalogue.

In: a refusal and what it is about. Out: the number and sentence of an error reply (HTTP 200,
api.error-reply). Numbers 5 and 81 are the service's, all others our own (api.error-codes).

    CallRefused(refusal, sentence)   the call is answered with an error reply, nothing happened
"""

from enum import Enum


class Refusal(Enum):
    """Number and sentence of an error reply; `{}` stands for what it is about."""

    VALUE_TEST = 5, "The value test of the tag {} is not valid."
    EMAIL_TAKEN = 81, "A customer with the email {} exists already."

    API_DISABLED = 1001, "CRM API access is not enabled."
    BAD_CREDENTIALS = 1002, "The tenant, the user name or the password is wrong."
    BAD_KEY = 1003, "The tenant or the key in the headers X-8x8-Tenant and x-api-key is wrong."
    NO_RIGHT = 1004, "The CRM API user has no right to {}."

    UNKNOWN_OBJECT = 1011, "The OBJECT {} is not known. Use Customer, Case, Followup or Task."
    UNKNOWN_ACTION = 1012, "The ACTION {} is not known. Use Get, Add or Modify."
    NOT_AVAILABLE = 1013, "The ACTION {} is not available."

    NO_FILTER = 1021, "The command has no filter. Give at least one of: {}."
    UNKNOWN_FILTER = 1022, "The tag {} is no filter of this object."
    TOO_MANY_FILTERS = 1023, "The command has too many filters; at most {} are allowed."

    MISSING_QUERY = 1031, "The request has no field xml_query."
    MALFORMED = 1032, "The request is not well-formed XML: {}."
    DOCTYPE = 1033, "The XML has a DOCTYPE. Remove it."
    ENCODING = 1034, "The XML has the encoding {}. Use UTF-8, US-ASCII or ISO-8859-1."
    NO_COMMAND = 1035, "The XML has no COMMAND element with OBJECT and ACTION, or more than one."
    NESTED = 1036, "The tag {} has tags inside it. Give each tag a plain value."
    TOO_LARGE = 1037, "The request is larger than {} bytes."

    def __init__(self, number: int, sentence: str) -> None:
        self.number = number
        self.sentence = sentence


class CallRefused(Exception):
    """The call is answered with an error reply."""

    def __init__(self, refusal: Refusal, about: object = "") -> None:
        self.refusal = refusal
        self.sentence = refusal.sentence.replace("{}", _short(str(about)))
        super().__init__(self.sentence)

    @property
    def number(self) -> int:
        """The ERROR_CODE of the reply."""
        return self.refusal.number


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."

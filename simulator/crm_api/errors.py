"""What the CRM API refuses, with what number and in what sentence: the one catalogue.

In: a refusal and what it is about. Out: the number and sentence of an error reply (HTTP 200,
api.error-reply). Numbers 5 and 81 are the service's, all others our own (api.error-codes).

    CallRefused(refusal, sentence)     the call is answered with an error reply, nothing happened
      TooManyRequests(retry_after_s)   the one that is answered with HTTP 429
"""

from enum import Enum


class Refusal(Enum):
    """Number and sentence of an error reply; each `{}` stands for what it is about."""

    VALUE_TEST = 5, "The value test of the tag {} is not valid."
    EMAIL_TAKEN = 81, "A customer with the email {} exists already."

    API_DISABLED = 1001, "CRM API access is not enabled."
    BAD_CREDENTIALS = 1002, "The tenant, the user name or the password is wrong."
    BAD_KEY = 1003, "The tenant or the key in the headers X-8x8-Tenant and x-api-key is wrong."
    NO_RIGHT = 1004, "The CRM API user has no right to {} {}."

    UNKNOWN_OBJECT = 1011, "The OBJECT {} is not known. Use Customer, Case, Followup or Task."
    UNKNOWN_ACTION = 1012, "The ACTION {} is not known. Use Get, Add or Modify."
    NOT_AVAILABLE = 1013, "The ACTION {} is not available for {}."

    NO_FILTER = 1021, "The command has no filter. Give at least one of: {}."
    UNKNOWN_TAG = 1022, "The tag {} is not known for {}."
    TOO_MANY_TAGS = 1023, "The command has too many tags; at most {} are allowed."
    FOREIGN_TAG = 1024, "The tag {} is of {}, not of {}."
    NO_FILTER_TAG = 1025, "The tag {} is no filter of {}."
    DUPLICATE_TAG = 1026, "The tag {} is given more than once."

    MISSING_QUERY = 1031, "The request has no field xml_query."
    MALFORMED = 1032, "The request is not well-formed XML: see line {}."
    DOCTYPE = 1033, "The XML has a DOCTYPE. Remove it."
    ENCODING = 1034, "The XML has the encoding {}. Use UTF-8, US-ASCII or ISO-8859-1."
    NO_COMMAND = 1035, "The XML has no COMMAND element with OBJECT and ACTION, or more than one."
    NESTED = 1036, "The tag {} has tags inside it. Give each tag a plain value."
    TOO_LARGE = 1037, "The request is larger than {} bytes."
    TWO_QUERIES = 1038, "The request has more than one field xml_query."
    LYING_ENCODING = 1039, "The XML is not in the encoding that it declares, {}."
    CONTROL_CHARACTER = 1040, "The XML has a control character. Remove it."

    MISSING_TAG = 1041, "The tag {} is mandatory."
    SYSTEM_TAG = 1042, "The tag {} is set by the system. Leave it out."
    NO_SUCH_RECORD = 1043, "There is no {} {}."
    NOTHING_TO_CHANGE = 1044, "The command changes nothing. Give at least one tag beside {}."
    TWO_PASSWORDS = 1045, "Give either PASSWORD or AUTOPASSWD, not both."
    ADD_ONLY = 1046, "The tag {} is taken by Add only."
    TOO_DEEP = 1047, "The XML is nested too deeply."

    TOO_MANY_REQUESTS = 1051, "There were too many requests. Try again in {} s."

    def __init__(self, number: int, sentence: str) -> None:
        self.number = number
        self.sentence = sentence


class CallRefused(Exception):
    """The call is answered with an error reply."""

    def __init__(self, refusal: Refusal, *about: object) -> None:
        self.refusal = refusal
        self.sentence = refusal.sentence.format(*(_short(str(what)) for what in about))
        super().__init__(self.sentence)

    @property
    def number(self) -> int:
        """The ERROR_CODE of the reply."""
        return self.refusal.number


class TooManyRequests(CallRefused):
    """The caller asks more often than the setting allows (api.rate-limit)."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(Refusal.TOO_MANY_REQUESTS, retry_after_s)
        self.retry_after_s = retry_after_s


def value_test(tag: str) -> CallRefused:
    """The refusal of a value, naming the tag in lower case as the service does."""
    return CallRefused(Refusal.VALUE_TEST, tag.lower())


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."

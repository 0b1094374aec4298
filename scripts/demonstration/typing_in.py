"""What agents type: believable values for every form field, drawn from one seed.

In: a seed. Out: form fields by name, as text. The texts hold what breaks careless programs:
letters beyond Latin-1, markup, `&`, `%`, `+`, quotes and line breaks.
"""

from datetime import date, datetime, time, timedelta
from random import Random

from faker import Faker

AGENTS = ("ag1001", "ag1002", "ag1003", "ag1004", "ag1005")
_MEDIA = ("Phone", "Email", "Chat", "Voicemail", "Web Callback")
_REMARKS = (
    "Called back twice; no answer.",
    'Wants "the same as last year" & 10% off.',
    "Asked for a quote:\n- 3 desk phones\n- 1 <conference> unit",
    "Prefers e-mail, 9:00-17:00 + Saturdays.",
    "Spoke with Zoë from Kraków, who will send the contract – signed.",
    "Übergabe an die Buchhaltung; Betrag 1.200 €.",
    "",
)
_SUBJECTS = (
    "Invoice does not match the order",
    "No dial tone after the update",
    "Wants to add two extensions",
    "Voicemail greeting is not played",
    "Transfer to the café's second line fails",
    "Password reset & new e-mail address",
    "Question about the contract's end date",
    "Call quality: echo on > 50% of calls",
)


class Typist:
    """Draws form values; equal seeds and equal library versions type the same."""

    def __init__(self, seed: int, today: date) -> None:
        self._rng = Random(seed)
        self._fake = Faker(["en_US", "de_DE", "fr_FR"])
        self._fake.seed_instance(seed)
        self._today = today
        self._emails = 0

    def new(self, kind: str) -> dict[str, str]:
        """The fields of a new record of this kind; its parent is not among them."""
        return {
            "customer": self._customer,
            "case": self._case,
            "followup": self._followup,
            "task": self._task,
        }[kind]()

    def changes(self, kind: str) -> dict[str, str]:
        """One to four fields of a record of this kind, with new values; never its parent."""
        fields = self.new(kind)
        # An address belongs to one person and a name is seldom mended: agents edit the rest.
        names = sorted(fields.keys() - {"email", "firstname"})
        count = self._rng.randint(1, min(4, len(names)))
        return {name: fields[name] for name in self._rng.sample(names, count)}

    def _customer(self) -> dict[str, str]:
        first, last = self._fake.first_name()[:30], self._fake.last_name()[:30]
        self._emails += 1
        return {
            "firstname": first,
            "lastname": last,
            "company": self._fake.company()[:50],
            "customertype": self._rng.choice(("Default", "Prospect", "Partner")),
            "email": f"customer.{self._emails}@demo.example.com",
            "voice": self._phone(),
            "fax": self._rng.choice(("", self._phone())),
            "comments": self._rng.choice(_REMARKS),
            "addr1str1": self._fake.street_address().replace("\n", ", ")[:50],
            "addr1city": self._fake.city()[:50],
            "addr1zip": self._fake.postcode()[:30],
            "addr1country": self._rng.choice(("USA", "Germany", "France")),
        }

    def _case(self) -> dict[str, str]:
        return {
            "subject": self._rng.choice(_SUBJECTS),
            "description": self._rng.choice(_REMARKS),
            "status": self._rng.choice(("Open", "Open", "Pending", "Closed")),
            "priority": self._rng.choice(("Low", "Medium", "High")),
            "severity": self._rng.choice(("Information", "Minor", "Major", "Critical")),
            "category": self._rng.choice(("Default", "Billing", "Technical")),
            "mediatype": self._rng.choice(_MEDIA),
            "assignedto": self._rng.choice(("", *AGENTS)),
        }

    def _followup(self) -> dict[str, str]:
        return {
            "subject": f"Re: {self._rng.choice(_SUBJECTS)}",
            "body": self._rng.choice(_REMARKS),
            "direction": self._rng.choice(("Outbound", "Inbound")),
            "mediatype": self._rng.choice(_MEDIA),
            "visibility": self._rng.choice(("Private", "Public")),
        }

    def _task(self) -> dict[str, str]:
        due = datetime.combine(
            self._today, time(self._rng.randint(8, 17), self._rng.randint(0, 59))
        )
        due += timedelta(days=self._rng.randint(1, 30))
        return {
            "subject": f"Call back: {self._rng.choice(_SUBJECTS)}",
            "description": self._rng.choice(_REMARKS),
            "task_status": self._rng.choice(("Pending", "In Progress", "Completed")),
            "assignedto": self._rng.choice(AGENTS),
            "call_type": "DAA",
            "phone": self._phone(),
            "duedate": due.strftime("%Y-%m-%dT%H:%M"),
        }

    def _phone(self) -> str:
        return f"+1 555 01{self._rng.randint(0, 99):02d}-{self._rng.randint(1000, 9999)}"

"""Brings an alarm to people: a POST to a webhook, or a command of the operator's.

In: a message. Out: nothing, once it was taken within the deadline.

    NotTaken(sentence)    it was not, and is worth trying again
"""

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Protocol

from receiver.alarm import Message
from receiver.settings import Settings
from receiver.transport import HttpTransport, NoAnswer, TooLarge

DEADLINE_S = 10.0
_LARGEST_ANSWER = 64 * 1024


class NotTaken(Exception):
    """The message did not arrive; the text is a sentence."""


class Messenger(Protocol):
    """Where messages go."""

    def tell(self, message: Message) -> None:
        """Return once it was taken. Raises NotTaken."""


def make(settings: Settings) -> Messenger:
    """The one of the settings; without any, the log alone says it."""
    url = settings.alarm_url.get_secret_value()
    if url:
        return Webhook(url)
    if settings.alarm_command:
        return Command(settings.alarm_command)
    return Nobody()


class Nobody:
    """Takes everything; the log has it."""

    def tell(self, message: Message) -> None:
        """Return at once."""


class Webhook:
    """A POST of JSON. `text` is where Slack and its like look for what to show."""

    def __init__(self, url: str) -> None:
        self._url = url
        peer = "The alarm's webhook"  # its URL is a secret
        self._transport = HttpTransport(DEADLINE_S, None, _LARGEST_ANSWER, peer)

    def tell(self, message: Message) -> None:
        """Return once it was answered with 2xx. Raises NotTaken."""
        headers = {"Content-Type": "application/json"}
        try:
            reply = self._transport.post(self._url, headers, json.dumps(_fields(message)).encode())
        except TooLarge:
            return  # answered with 200, and whatever page its proxy puts behind that
        except NoAnswer as error:
            raise NotTaken(str(error)) from error
        if not 200 <= reply.status < 300:
            raise NotTaken(f"The alarm's webhook answered with HTTP {reply.status}.")


class Command:
    """A program, without a shell; the message is one line of JSON on its standard input."""

    def __init__(self, command: str) -> None:
        self._arguments = shlex.split(command)

    def tell(self, message: Message) -> None:
        """Return once it ended with 0. Raises NotTaken."""
        line = json.dumps(_fields(message)) + "\n"
        name = self._arguments[0]
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # a pipe that a grandchild keeps would hold us
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NotTaken(f"Alarm command {name} cannot be run: {error.strerror}.") from error
        try:
            process.communicate(line.encode(), DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotTaken(f"Alarm command {name} took longer than {DEADLINE_S:g} s.") from None
        if process.returncode:
            raise NotTaken(f"Alarm command {name} ended with {process.returncode}.")


def _fields(message: Message) -> Mapping[str, str | None]:
    state = "raised" if message.over_at is None else "cleared"
    told = message.sentence if message.over_at is None else f"All clear. It was: {message.sentence}"
    return {
        "alarm": message.name,
        "state": state,
        "since": message.since.isoformat(),
        "until": message.over_at.isoformat() if message.over_at else None,
        "text": f"crm-receiver on {socket.gethostname()}: {told}",
    }

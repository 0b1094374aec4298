"""Plays the 8x8 Contact Center side: Local CRM, both consoles, CRM triggers and the CRM API.

`from simulator import Simulator` starts one inside a test or a script, `attach` reaches one that
runs elsewhere. What the names lead to is imported when it is first asked for: the pytest plugin
lives in this package and is loaded by every run of pytest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.client import (
        Control,
        ControlRefused,
        ControlUnreachable,
        NotInTime,
        attach,
        delivered,
        fetched,
        idle,
    )
    from simulator.server import Simulator

__all__ = [
    "Control",
    "ControlRefused",
    "ControlUnreachable",
    "NotInTime",
    "Simulator",
    "attach",
    "delivered",
    "fetched",
    "idle",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        import_module(f"{__name__}.{'server' if name == 'Simulator' else 'client'}"), name
    )

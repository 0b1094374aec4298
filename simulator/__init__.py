"""Plays the 8x8 Contact Center side: Local CRM, both consoles, CRM triggers and the CRM API.

`from simulator import Simulator` starts one inside a test or a script. What the name leads to is
imported when it is first asked for: the pytest plugin lives in this package and is loaded by
every run of pytest.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.server import Simulator

__all__ = ["Simulator"]


def __getattr__(name: str) -> Any:
    if name == "Simulator":
        from simulator.server import Simulator  # noqa: PLC0415 see above

        return Simulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

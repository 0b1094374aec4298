"""The control API whole: the frame with the routes of every file beside it.

In: an app. Out: the app with everything under /_sim/.
"""

# Importing a file adds its routes to the frame's blueprint.
from simulator.control_api import agent as _agent  # noqa: F401
from simulator.control_api import assumptions as _assumptions  # noqa: F401
from simulator.control_api import clock as _clock  # noqa: F401
from simulator.control_api import deliveries as _deliveries  # noqa: F401
from simulator.control_api import doctor as _doctor  # noqa: F401
from simulator.control_api import events as _events  # noqa: F401
from simulator.control_api import faults as _faults  # noqa: F401
from simulator.control_api import journal as _journal  # noqa: F401
from simulator.control_api import records as _records  # noqa: F401
from simulator.control_api import settings as _settings  # noqa: F401
from simulator.control_api import silent as _silent  # noqa: F401
from simulator.control_api import state as _state  # noqa: F401
from simulator.control_api import triggers as _triggers  # noqa: F401
from simulator.control_api import wait as _wait  # noqa: F401
from simulator.control_api.frame import new_app, register

__all__ = ["new_app", "register"]

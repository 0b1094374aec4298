"""The control API whole: the frame with the routes of every file beside it.

In: an app. Out: the app with everything under /_sim/.
"""

# Importing a file adds its routes to the frame's blueprint.
from simulator.control_api import assumptions as _assumptions  # noqa: F401
from simulator.control_api import doctor as _doctor  # noqa: F401
from simulator.control_api.frame import new_app, register

__all__ = ["new_app", "register"]

"""The commands that drive a simulator which runs: each is a verb of `simulator.client`.

In: arguments, and where the simulator is. Out: a line or two, or JSON; exit codes as in
`connection`. What the verbs need is imported when one runs: --help must not wait for it.
"""

from simulator.remote_cli.clock import clock
from simulator.remote_cli.deliveries import deliveries
from simulator.remote_cli.doctor import doctor
from simulator.remote_cli.env import env
from simulator.remote_cli.faults import faults
from simulator.remote_cli.reads import digest, events, journal
from simulator.remote_cli.state import reset, snapshot
from simulator.remote_cli.triggers import triggers
from simulator.remote_cli.wait import wait

COMMANDS = (
    *(triggers, deliveries, wait, clock, faults),
    *(journal, events, digest, snapshot, reset, doctor, env),
)

"""`python -m simulator` is the command crm-simulator."""

from simulator.cli import main

main(prog_name="crm-simulator")

"""`python -m scripts.demonstration`: signals first, then everything else."""

from scripts.demonstration.interrupt import Interrupt

INTERRUPT = Interrupt()
# Before the imports that take time: Ctrl-C during them would end in a stack trace.
INTERRUPT.install()

from scripts.demonstration.cli import main  # noqa: E402

main(obj=INTERRUPT, prog_name="scripts/demo")

"""What the demo shows while it runs: a live screen on a terminal, plain lines elsewhere.

In: phases, actions, figures. Out: text on standard output; nothing depends on it.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scripts.demonstration.compare import Comparison, Counts
from scripts.demonstration.observe import Figures

_LINE_EVERY_ACTIONS = 20


@dataclass
class Screen:
    """The state of the screen; `show` draws it."""

    actions: int
    retry_schedule: str
    console: Console = field(default_factory=lambda: Console(highlight=False))
    phase: str = ""
    done: int = 0
    figures: Figures = field(default_factory=Figures)
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    _live: Live | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """A live screen while this is open, if standard output is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        # No refresh thread: the demo draws when there is something new.
        with Live(self._picture(), console=self.console, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._draw()
                self._live = None

    def enter(self, phase: str) -> None:
        """Say what begins now."""
        self.phase = phase
        if self._live:
            self._live.console.print(phase, markup=False)
            self._draw()
        else:
            self.say(phase)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, markup=False, soft_wrap=True)

    def act(self, agent: str, action: str) -> None:
        """An agent did something."""
        self.done += 1
        self.latest.append(f"{agent} {action}")
        if self._live is None and self.done % _LINE_EVERY_ACTIONS == 0:
            self.say(self._line())

    def show(self, figures: Figures) -> None:
        """Draw the present figures."""
        self.figures = figures
        self._draw()

    def _draw(self) -> None:
        if self._live:
            self._live.update(self._picture(), refresh=True)

    def _line(self) -> str:
        f = self.figures
        return (
            f"actions {self.done}/{self.actions}, triggers sent {f.sent}, retried {f.retried}, "
            f"received {f.received}, applied {f.applied}, lag {f.lag_s:.1f} s"
        )

    def _picture(self) -> RenderableType:
        bar = Table.grid(expand=True)  # a bar by itself ends without a line break
        bar.add_row(ProgressBar(total=self.actions, completed=self.done))
        latest = Text("\n".join(self.latest) or " ", style="dim")
        return Panel(
            Group(Text(self.phase), bar, self._numbers(), latest),
            title="agent -> trigger -> receiver -> External CRM",
        )

    def _numbers(self) -> Table:
        f = self.figures
        table = Table.grid(padding=(0, 2))
        for name, value, remark in (
            ("actions", f"{self.done} of {self.actions}", "in the Agent Console"),
            ("triggers sent", f.sent, f"{f.delivered} answered with 200"),
            ("retried", f.retried, f"on the schedule “{self.retry_schedule}”; {f.failing} failing"),
            ("received", f.received, "stored by the receiver"),
            ("applied", f.applied, f"{f.waiting} waiting, {f.dead} dead"),
            ("lag", f"{f.lag_s:.1f} s", "age of the oldest trigger without effect"),
        ):
            table.add_row(name, Text(str(value), style="bold"), remark)
        return table


def comparison_table(comparison: Comparison) -> Table:
    """The comparison by kind, with a line for all."""
    table = Table(title="Both databases, record by record")
    table.add_column("")
    for heading in ("equal", "different", "missing", "extra", "exempt"):
        table.add_column(heading, justify="right")
    for kind, counts in comparison.by_kind.items():
        _add_row(table, kind, counts)
    table.add_section()
    _add_row(table, "all", comparison.total)
    return table


def _add_row(table: Table, name: str, counts: Counts) -> None:
    numbers = (counts.equal, counts.different, counts.missing, counts.extra, counts.exempt)
    table.add_row(name, *(str(number) for number in numbers))

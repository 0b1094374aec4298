"""One benchmark by its name: progress to stderr, a table and a line of JSON to stdout.

In: a name, --quick, --write, --runs. Out: exit code 0, 1 where a gate is missed, 2 where something
is not installed. Killed here: a temporary folder may be left.
"""

import sys

import click

from scripts.benchmarks import api, depth, fixture, ingest, pages, report, sync
from scripts.benchmarks.wrk import NoWrk

BENCHMARKS = {
    "api": api.run,
    "depth": depth.run,
    "fixture": fixture.run,
    "ingest": ingest.run,
    "pages": pages.run,
    "sync": sync.run,
}


@click.command()
@click.argument("name", type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Less than a minute; leaves out what takes longer.")
@click.option("--write", is_flag=True, help="Write the table under scripts/benchmarks/reports/.")
@click.option(
    "--runs",
    type=click.IntRange(1, 10),
    default=1,
    help="So often, one after the other; all count.",
)
def main(name: str, quick: bool, write: bool, runs: int) -> None:
    """Run one benchmark."""
    try:
        results = [BENCHMARKS[name](quick) for _ in range(runs)]
    except NoWrk as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    table = report.markdown(results)
    print(table)
    if write:
        print(f"Written to {report.write(results[-1], table)}.", file=sys.stderr)
    for sentence in (sentence for result in results for sentence in result.missed):
        print(sentence, file=sys.stderr)
    print(report.last_line(results[-1]), flush=True)
    sys.exit(1 if any(result.missed for result in results) else 0)


main()

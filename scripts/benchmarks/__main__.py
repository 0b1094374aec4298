"""One benchmark by its name: progress to stderr, a table and a line of JSON to stdout.

In: a name, --quick, --write. Out: exit code 0, 1 where a gate is missed, 2 where something is not
installed. Killed here: a temporary folder may be left.
"""

import json
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
def main(name: str, quick: bool, write: bool) -> None:
    """Run one benchmark."""
    try:
        result = BENCHMARKS[name](quick)
    except NoWrk as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    table = report.markdown(result)
    print(table)
    if write:
        print(f"Written to {report.write(result, table)}.", file=sys.stderr)
    for sentence in result.missed:
        print(sentence, file=sys.stderr)
    print(json.dumps({"bench": name, **result.figures}), flush=True)
    sys.exit(1 if result.missed else 0)


main()

"""Run the official conformance suite by hand, and print what it found: `scripts/conformance --help`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from tests.conformance.counts import Findings, table
from tests.conformance.legs import LEGS, Leg, expected
from tests.conformance.suite import NoSuiteError, run_all


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and print; the exit status is 1 where anything failed that is not expected to, or the reverse."""
    arguments = _parse(argv)
    legs = [leg for leg in LEGS if not arguments.leg or leg.name in arguments.leg]
    try:
        with tempfile.TemporaryDirectory() as own:
            findings = anyio.run(run_all, legs, arguments.keep or Path(own), _tell)
    except NoSuiteError as error:
        sys.exit(str(error))
    print("\n".join(table((*leg.row, findings[leg]) for leg in legs)))
    for leg in legs:
        _explain(leg, findings[leg])
    return int(any(found.unexpected for found in findings.values()))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/conformance",
        description="The official conformance suite is run against a gateway with two stdio servers behind it, and "
        "against one of them that the SDK itself serves over HTTP. tests/conformance/expected-failures.yml says what "
        "is to fail, and why; if anything else fails, or that does not, the exit status is 1.",
        epilog="Legs: " + ", ".join(leg.name for leg in LEGS) + ".",
    )
    parser.add_argument("leg", nargs="*", metavar="LEG", help="only these (default: all)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the suite's own results in this new directory")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.leg) - {leg.name for leg in LEGS}
    if unknown:
        parser.error(f"there is no leg {', '.join(sorted(unknown))}")
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True)
    return arguments


def _tell(leg: Leg, found: Findings) -> None:
    print(f"{leg.name}: {found.counts}", file=sys.stderr)


def _explain(leg: Leg, found: Findings) -> None:
    reasons = expected().get(leg.name, {})
    for each in found.complaints:
        reason = reasons.get(f"{each.scenario}:{each.check}") or reasons.get(each.scenario)
        print(f"\n{leg.name}: {each}\n  {'expected: ' + ' '.join(reason.split()) if reason else 'UNEXPECTED'}")
    if found.unexpected:
        print(f"\n{leg.name}: the suite's own words:\n" + "\n".join(found.output.splitlines()[-30:]))


if __name__ == "__main__":
    sys.exit(main())

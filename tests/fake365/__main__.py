"""Run a tenant from the command line; see README.md.

Ends at the end of standard input, so never outlives its parent.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

if not __package__:  # run by path: python3 tests/fake365
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from fake365 import Scenario, Tenant  # noqa: E402


class Terminated(Exception):
    """SIGTERM came."""


def main() -> None:
    """Serve until standard input ends or SIGTERM comes."""
    options = _arguments()
    directory = Path(options.directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    scenario = Scenario.from_json(options.scenario)
    signal.signal(signal.SIGTERM, _terminate)
    tenant = Tenant(str(directory), scenario=scenario, **options.options)
    try:
        with tenant:
            config = tenant.write_config(directory, login=options.login)
            _say_ready(tenant, config, options.ready_fd)
            _obey_standard_input(tenant)
    except (Terminated, KeyboardInterrupt):
        pass
    _print(report(tenant))


def report(tenant: Tenant) -> dict:
    """All that the tenant has seen, fit for JSON."""
    return {
        name: [_plain(dataclasses.asdict(one)) for one in records]
        for name, records in (
            ("messages", tenant.messages),
            ("transcript", tenant.transcript),
            ("token_requests", tenant.token_requests),
            ("connections", tenant.connections),
        )
    }


def _plain(record: dict) -> dict:
    """Make octets printable: Latin-1, one character for each."""
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in record.items()
    }


def _obey_standard_input(tenant: Tenant) -> None:
    for line in sys.stdin:
        if line.strip() == "messages":
            _print(report(tenant))
        elif line.strip() == "revoke":
            tenant.revoke_tokens()
        elif line.strip():
            print(f"unknown command {line.strip()!r}", file=sys.stderr)


def _say_ready(tenant: Tenant, config: str, ready_fd: int) -> None:
    _print({
        "config": config,
        "ca_file": tenant.ca_file,
        "authority": tenant.authority,
        "smtp_port": tenant.smtp_port,
        "mx_port": tenant.mx_port,
        "entra_port": tenant.entra_port,
    })
    if ready_fd is not None:
        os.write(ready_fd, b"READY\n")


def _print(value: dict) -> None:
    print(json.dumps(value), flush=True)


def _terminate(*_) -> None:
    raise Terminated


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fake365", description=__doc__)
    parser.add_argument("--directory", required=True, metavar="DIR",
                        help="where configuration and certificates go")
    parser.add_argument("--scenario", type=json.loads, default={},
                        metavar="JSON", help='{"rules": [...], ...}')
    parser.add_argument("--options", type=json.loads, default={},
                        metavar="JSON", help="further arguments of Tenant")
    parser.add_argument("--login", action="store_true",
                        help="configure AUTH LOGIN instead of XOAUTH2")
    parser.add_argument("--ready-fd", type=int, metavar="N",
                        help="write READY there when it is")
    return parser.parse_args()


if __name__ == "__main__":
    main()

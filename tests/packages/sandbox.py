"""Apply a unit's SystemCallFilter= and what goes with it, then run a program.

usage: sandbox.py FILE PROGRAM [ARGUMENT]...

FILE names the allowed system calls, one a line. The families of sockets are
those of the unit; memory is never both writable and executable.
"""
import errno
import os
import socket
import sys

from seccomp import ALLOW, EQ, ERRNO, MASKED_EQ, Arg, SyscallFilter

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6,
            socket.AF_NETLINK)
WRITE, EXECUTE = 2, 4


def main():
    program = sys.argv[2:]
    refuse = ERRNO(errno.EPERM)
    rules = SyscallFilter(refuse)
    with open(sys.argv[1]) as file:
        names = file.read().split()
    for name in names:
        try:
            if name == "socket":
                for family in FAMILIES:
                    rules.add_rule(ALLOW, name, Arg(0, EQ, family))
            elif name in ("mmap", "mprotect"):
                both = WRITE | EXECUTE if name == "mmap" else EXECUTE
                for bits in range(0, 8):
                    if bits & both != both:
                        rules.add_rule(
                            ALLOW, name, Arg(2, MASKED_EQ, 7, bits))
            else:
                rules.add_rule(ALLOW, name)
        except (RuntimeError, OSError):
            pass  # of another architecture
    rules.load()
    os.execv(program[0], program)


if __name__ == "__main__":
    main()

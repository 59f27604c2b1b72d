#!/usr/bin/env python3
"""Runs a program under a seccomp filter that refuses some system calls, as sandboxes do.

    denied.py ERRNO NUMBER[,NUMBER...] -- PROGRAM [ARGUMENT...]

ERRNO is a name as EPERM. Linux only; needs no privilege (PR_SET_NO_NEW_PRIVS)."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
# Classic BPF (linux/bpf_common.h) over struct seccomp_data, whose first word is the number of the call.
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
ALLOW = 0x7FFF0000
REFUSE_WITH = 0x00050000


def program(numbers, code):
    """The filter: these calls fail with `code`, all others pass."""
    steps = [(LOAD_WORD, 0, 0, 0)]
    for at, number in enumerate(numbers):
        # Over the remaining comparisons and the step that allows.
        steps.append((JUMP_IF_EQUAL, len(numbers) - at, 0, number))
    steps.append((RETURN, 0, 0, ALLOW))
    steps.append((RETURN, 0, 0, REFUSE_WITH | code))
    return b"".join(struct.pack("HBBI", *step) for step in steps), len(steps)


def main():
    split = sys.argv.index("--")
    code = getattr(errno, sys.argv[1])
    numbers = [int(number) for number in sys.argv[2].split(",")]
    steps, count = program(numbers, code)
    kept = ctypes.create_string_buffer(steps)
    head = struct.pack("HxxxxxxP", count, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0)):
        if libc.prctl(*arguments) != 0:
            sys.exit(f"prctl {arguments[0]}: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[split + 1], sys.argv[split + 1:])


main()

# SPDX-License-Identifier: MIT
"""Forks application processors: MicroPython's unix port, already loaded, one child a boot.

Run as ``python -I -S zygote.py FOLDER`` with a socket as standard input; FOLDER holds the unix port's
extension module. Each message is a JSON list of the child's folder and its arguments, with its descriptors
(stdin, stdout, stderr, control, flash) attached; the answer is the child's process id. Forking a loaded image
takes well under a millisecond, where starting the program takes ten.
"""

import array
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

LAST_FD = 4  # the flash file
PR_SET_PDEATHSIG = 1  # prctl(2)


def _find_prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


def _die_with(zygote: int, prctl: Callable[[int, int], int] | None) -> None:
    """A killed supervisor leaves no processor behind: the zygote ends with it, and they with it."""
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zygote:
            os._exit(1)


def _become(run_main: Callable[[list[str]], object], message: list[str], descriptors: Sequence[int]) -> None:
    folder, *arguments = message
    os.setsid()
    os.chdir(folder)
    for target, source in enumerate(descriptors):
        os.dup2(source, target)
    os.closerange(LAST_FD + 1, 256)
    if os.isatty(0):
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    run_main(["micropython", *arguments])


def serve(folder: str) -> None:
    """Fork until the socket closes."""
    sys.path.insert(0, folder)
    import micropython_run  # type: ignore[import-not-found]  # found in FOLDER only

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=os.dup(0))
    zygote, prctl = os.getpid(), _find_prctl()
    # The five descriptors must not land on 0..4 themselves, where dup2 would overwrite them.
    while os.dup(1) < 16:
        pass
    while True:
        message, ancillary, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(4 * (LAST_FD + 1)))
        if not message:
            return
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        child = os.fork()
        if child == 0:
            try:
                _die_with(zygote, prctl)
                _become(micropython_run.run_main, json.loads(message), descriptors)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(child).encode())


if __name__ == "__main__":
    serve(sys.argv[1])

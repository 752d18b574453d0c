# SPDX-License-Identifier: MIT
# Why the node woke, and how it sleeps.

import machine


def is_wake() -> bool:
    """Whether this boot is a waking from deep sleep (RTC memory and clock went on)."""
    return machine.reset_cause() == machine.DEEPSLEEP_RESET


def reset_cause() -> int:
    """1 power-on (or brown-out), 2 hard, 3 watchdog, 4 deep sleep, 5 soft: machine's numbers."""
    return machine.reset_cause()


def nap(duration_ms: int) -> None:
    """Light sleep: memory, pins and RTC go on; the console does not. Never shorter: 1 % for the RC oscillator."""
    if duration_ms > 0:
        machine.lightsleep(duration_ms + duration_ms // 100 + 1)


def sleep_deep(duration_ms: int) -> None:
    """Deep sleep; the next thing that runs is boot.py."""
    machine.deepsleep(max(1, duration_ms))


def reset() -> None:
    """Hard reset: the next boot finds its state in flash."""
    machine.reset()


def start_watchdog(timeout_ms: int) -> "object":
    """The hardware watchdog, which nothing can stop; its `feed` method."""
    return machine.WDT(timeout=timeout_ms).feed

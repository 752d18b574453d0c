# SPDX-License-Identifier: MIT
# The names of the events, by their codes in events.py: for the console and the host. Pure.

EVENTS = (
    "",
    "bad_mic",
    "replay",
    "bad_command",
    "sensor_fault",
    "radio_reset",
    "i2c_recovery",
    "watchdog",
    "brownout",
    "boot_loop",
    "memory_error",
    "journal_dropped",
    "config_reverted",
    "state_lost",
    "join_failed",
    "low_battery",
    "clock_jump",
    "panic",
    "console",
    "plan_refused",
)

# SPDX-License-Identifier: MIT
# THE table of security and fault events that a node counts. Pure.
#
# A code is never given a second meaning. Some events have a detail that says of what: a sensor's fault the
# first quantity of that sensor. Not here: the counting (storage/events.py), the bytes (codec/status.py),
# the names (event_names.py: a waking needs none).

from micropython import const

BAD_MIC = const(1)  # a frame for this node whose MIC is wrong
REPLAY = const(2)  # a frame or command whose counter was used before
BAD_COMMAND = const(3)  # a command that was refused; detail: the code it was answered with
SENSOR_FAULT = const(4)  # detail: first quantity of the sensor
RADIO_RESET = const(5)  # the radio did not answer and was reset
I2C_RECOVERY = const(6)  # a stuck bus was freed; detail: number of the bus
WATCHDOG = const(7)
BROWNOUT = const(8)
BOOT_LOOP = const(9)  # the brake waited before another try
MEMORY_ERROR = const(10)
JOURNAL_DROPPED = const(11)  # the ring overwrote a record that nobody had acknowledged
CONFIG_REVERTED = const(12)  # a new configuration cut the node off and was taken back
STATE_LOST = const(13)  # neither RTC memory nor flash had a state that should be there; detail: its kind
JOIN_FAILED = const(14)
LOW_BATTERY = const(15)  # the node rested to save what is left
CLOCK_JUMP = const(16)  # the network's time differs by more than the drift allows
PANIC = const(17)  # an exception that nobody expected ended a waking
CONSOLE = const(18)  # somebody worked at the console
PLAN_REFUSED = const(19)  # part of the plan cannot be kept; detail: first quantity, 0 the interval

# SPDX-License-Identifier: MIT
# What a frozen build of the node's firmware carries, in MicroPython 1.27's manifest language; the recipe is in
# README.md. One image for all profiles: every driver, radio and region is in it, in flash, where it takes no RAM.
#
# It replaces the port's boards/manifest.py: of that only the flash's block device and onewire are needed, and
# _boot.py is ours. Not frozen: identity (nvs), the owner's settings and calibrations (state), records (journal).
# ruff: noqa: F821

module("flashbdev.py", base_path="$(PORT_DIR)/modules")
require("onewire")

module("_boot.py", base_path="../firmware/frozen", opt=3)
module("pack.py", base_path="../firmware/frozen", opt=3)
module("boot.py", base_path="../firmware", opt=3)
module("main.py", base_path="../firmware", opt=3)
package("node", base_path="../firmware", opt=3)

# What board and profile this is: tools/frozen_hardware.py writes it before the build.
module("hardware.py", base_path="../build/frozen", opt=3)

# SPDX-License-Identifier: MIT
# Entry of the application processor; its names are those of the prompt, so it keeps none.

__import__("esp32_boot").start(globals())

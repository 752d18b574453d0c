# SPDX-License-Identifier: MIT
# Runs before main.py on every reset. Nothing to do: the console opens after this file on native-USB boards.

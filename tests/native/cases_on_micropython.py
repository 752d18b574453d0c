# SPDX-License-Identifier: MIT
# MicroPython's side of the kernel tests: runs the calls in cases.bin on the viper functions beside it.
#
# Prints "<kernel> <calls> <elements> <wrong>" for each kernel and "all done". A call in cases.bin is the
# number of its arguments, each argument (type, length or value, bytes), and the CRC-32 of the right result
# and buffers.

import binascii
import struct
from array import array


def take(stream, form):
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def argument(stream):
    kind, number = take(stream, "<Bi")
    kind = chr(kind)
    if kind == "n":
        return number
    data = stream.read(number)
    return bytearray(data) if kind == "B" else array(kind, data)


def run(stream, module_name, function_name, calls):
    function = getattr(__import__(module_name), function_name)
    wrong = 0
    for _ in range(calls):
        (count,) = take(stream, "<B")
        arguments = [argument(stream) for _ in range(count)]
        (expected,) = take(stream, "<I")
        value = function(*arguments)
        crc = binascii.crc32(struct.pack("<I", (value or 0) & 0xFFFFFFFF))
        for each in arguments:
            if not isinstance(each, int):
                crc = binascii.crc32(each, crc)
        wrong += crc & 0xFFFFFFFF != expected
    return wrong


def main():
    with open("cases.bin", "rb") as stream:
        (kernels,) = take(stream, "<H")
        for _ in range(kernels):
            lengths = take(stream, "<BBB")
            name, module, function = [stream.read(length).decode() for length in lengths]
            calls, elements = take(stream, "<HI")
            print(name, calls, elements, run(stream, module, function, calls))
    print("all done")


main()

# SPDX-License-Identifier: MIT
# MicroPython's side of the kernel tests: runs the calls in cases.bin on the viper functions beside it.
#
# Prints "<kernel> <calls> <elements> <wrong>" for each kernel and "all done". The format of cases.bin is in
# tools/native/case_file.py: the buffers of a block of calls are slices of one, which holds a call as it is read.

import struct
from binascii import crc32


def take(stream, form):
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def run_block(stream, function):
    calls, count = take(stream, "<HB")
    kinds = [take(stream, "<BH") for _ in range(count)]
    numbers = [at for at in range(count) if kinds[at][0] == ord("n")]
    form = f"<{len(numbers)}iI"
    head = struct.calcsize(form)
    padded = [size + 3 & ~3 for _, size in kinds]
    changing = head + sum([padded[at] for at in range(count) if kinds[at][0] == ord("~")])
    same = stream.read(sum([padded[at] for at in range(count) if kinds[at][0] == ord("=")]))
    whole = memoryview(bytearray(changing + len(same)))
    arguments = [0] * count
    start = {ord("~"): head, ord("="): changing}
    for at in range(count):
        kind, size = kinds[at]
        if kind in start:
            arguments[at] = whole[start[kind] : start[kind] + size]
            start[kind] += padded[at]
    call, buffers, shared = whole[:changing], whole[head:], whole[changing:]
    wrong = 0
    for _ in range(calls):
        stream.readinto(call)
        if same:
            shared[:] = same
        given = struct.unpack_from(form, whole)
        for number, at in enumerate(numbers):
            arguments[at] = given[number]
        value = function(*arguments) or 0
        wrong += crc32(buffers) ^ (value & 0xFFFFFFFF) != given[-1]
    return wrong


def main():
    with open("cases.bin", "rb") as stream:
        (kernels,) = take(stream, "<H")
        for _ in range(kernels):
            lengths = take(stream, "<BBB")
            name, module, function = [stream.read(length).decode() for length in lengths]
            calls, elements, blocks = take(stream, "<IIH")
            body = getattr(__import__(module), function)
            wrong = sum([run_block(stream, body) for _ in range(blocks)])
            print(name, calls, elements, wrong)
    print("all done")


main()

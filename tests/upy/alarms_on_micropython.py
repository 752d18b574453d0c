# SPDX-License-Identifier: MIT
# Runs on MicroPython and on CPython (argument: the folder that holds the package `node`): a long day of
# alarms, events and status, drawn from a seed. Both must print the same bytes.

import sys

sys.path.insert(0, sys.argv[1])

from binascii import crc32, hexlify

from node.app.alarms import MAX_SIZE, Alarms
from node.app.tally import Tally
from node.app.watches import Watches
from node.codec import alarm, status
from node.schema.alarms import rows_fault
from node.schema.quantities import BATTERY, CO2, TILT, WATER_LEVEL, WATER_VOLUME
from node.storage.events import Events

ROWS = (
    (CO2, 1, 1500, 200, 1100),
    (BATTERY, 2, 3400, 100, 0),
    (WATER_LEVEL, 3, 300, 100, 1200),
    (CO2, 4, 500, 0, 600),
    (WATER_VOLUME, 5, 2, 0, 0),
    (WATER_LEVEL, 6, 200, 0, 600),
    (TILT, 7, 600, 150, 500),
    (CO2, 10, 0, 0, 1100),
)
CODES = (CO2, BATTERY, WATER_LEVEL, WATER_VOLUME, TILT)
assert rows_fault(ROWS, CODES) == ""

seed = 1


def draw(n):
    global seed
    seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
    return (seed >> 8) % n


node = Alarms(ROWS)
events = Events()
now_ms = 0
sums = 0
raised = 0
for _step in range(3000):
    now_ms += 1 + draw(1200000)
    readings = {}
    for code, top in ((CO2, 3000), (BATTERY, 4200), (WATER_LEVEL, 4000), (WATER_VOLUME, 9), (TILT, 1800)):
        quality = draw(8)
        readings[code] = (draw(top) if quality < 6 else None, quality)
    seen = draw(3)
    found = {5: (None if seen == 2 else bool(seen), draw(90)), 6: (bool(draw(2)), -5)}
    raised += len(node.evaluate(readings, now_ms, found))
    reports = node.due(now_ms)[: alarm.capacity(51)]
    if reports:
        payload = alarm.encode(7, draw(1 << 24), (now_ms // 1000 & 0xFFFFFFFF, 3), reports)
        sums = crc32(payload, sums)
        told = alarm.decode(payload)[4]
        assert [report[:4] for report in told] == [report[:4] for report in reports]
        node.told(reports, now_ms, draw(3) > 0)
        if draw(4) == 0:
            answer = alarm.encode_acknowledgement(7, [(r[0], r[1], r[3]) for r in reports])
            for kind, quantity, occurrence in alarm.decode_acknowledgement(answer)[1]:
                node.acknowledge(kind, quantity, occurrence, now_ms)
    events.note(1 + draw(18), draw(3), now_ms // 1000 & 0xFFFFFFFF)
    data = node.to_bytes(now_ms)
    assert len(data) <= MAX_SIZE
    sums = crc32(data, sums)
    slept = draw(20) > 0
    node = Alarms(ROWS)
    assert node.load(data, now_ms, slept)
    other = Events()
    assert other.load(events.to_bytes())
    events = other

made = status.Status()
made.profile, made.version, made.micropython = 1, (0, 1, 2), 27
made.energy_mc = (300, 100000, 40, 4000, 800, 1 << 40)
payload, told = status.encode(made, events.counts(), 115)
events.settle(told)
again, _ = status.decode(payload)
assert again.energy_mc[1] == 100000
print("raised", raised, "sum", sums & 0xFFFFFFFF)
print(hexlify(node.to_bytes(now_ms)).decode())
print(hexlify(events.to_bytes()).decode())
print(hexlify(payload).decode())

tally = Tally(0)
for cause in (1, 4, 3, 5):
    tally.note_start(cause)
    tally.note_heap(70000 - cause)
    tally.note_airtime(123456)
    assert tally.load(tally.to_bytes(), 0, True)
tally.prepare(made, 7200000, [1, 2, 3, 4, 5, 1 << 31])
tally.settle(7200001)
tally.prepare(made, 7300000, [2, 2, 3, 4, 5, 1 << 31])
print(hexlify(tally.to_bytes()).decode(), made.energy_mc, made.resets)

watches = Watches(ROWS)
for step in range(400):
    feed = {WATER_VOLUME: (step * 3, 0), WATER_LEVEL: (draw(4000), 0)}
    found = watches.feed(feed, step * 600, 800000000 + step * 600)
    data = watches.to_bytes()
    watches = Watches(ROWS)
    assert watches.load(data, step != 200)
print(hexlify(data).decode(), sorted(found.items()))

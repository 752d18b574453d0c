# SPDX-License-Identifier: MIT
# What an accepted command asks the node to do: reboot, join anew, test itself, send records again. Pure.
#
# The command is in flash before anything is done (config.py); an action that a power cut interrupts is done
# again. Imported only when there is something to do.

from ..codec.command import REBOOT, RECORDS, REJOIN, SELF_TEST
from ..schema.quantities import ABSENT, FAULT

_FLASH_FAILED = 1 << 6
_RADIO_FAILED = 1 << 7


def perform(config, cycle) -> None:  # type: ignore[no-untyped-def]
    """All actions that wait; a reboot comes last and does not return."""
    sender = cycle.make_sender()
    if RECORDS in config.actions:
        _request_records(cycle, config.records)
        config.finish(RECORDS)
    if SELF_TEST in config.actions:
        config.finish_self_test(self_test(cycle))
    if REJOIN in config.actions:
        _rejoin(config, cycle, sender)
    if REBOOT in config.actions:
        config.finish(REBOOT)
        cycle.save()
        cycle.node.reset()


def _rejoin(config, cycle, sender) -> None:  # type: ignore[no-untyped-def]
    session = sender.runner.mac.session
    dev_nonce = session.dev_nonce
    session.lost = True  # until the join takes its place
    cycle.memory.retry_ms = 0
    sender.join(cycle.clock.now_ms())
    if session.dev_nonce != dev_nonce:  # it was committed, and with it that the session is lost
        config.finish(REJOIN)


def self_test(cycle) -> int:  # type: ignore[no-untyped-def]
    """Bits of what failed: 0-5 the profile's sensors in order, 6 flash, 7 radio."""
    failed = 0
    readings = cycle.sample()
    for index, sensor in enumerate(cycle.node.profile["sensors"][:6]):
        if readings.get(sensor["quantities"][0], (None, ABSENT))[1] in (FAULT, ABSENT):
            failed |= 1 << index
    journal = cycle.journal
    if journal.next_id and journal.read(journal.next_id - 1) is None:
        failed |= _FLASH_FAILED
    runner = cycle.make_sender().runner
    if runner.windows == 0 and not cycle.make_sender().joined:
        failed |= _RADIO_FAILED
    return failed


def _request_records(cycle, span: "tuple[int, int]") -> None:  # type: ignore[no-untyped-def]
    """Queue the records whose time lies in `span` (s since 2000), found by halving: times rise with ids."""
    journal = cycle.journal
    first = _first_from(journal, span[0])
    last = _first_from(journal, span[1] + 1) - 1
    if last >= first:
        cycle.delivery.request(last, last - first + 1)


def _first_from(journal, time_s: int) -> int:  # type: ignore[no-untyped-def]
    low, high = max(0, journal.oldest_id), journal.next_id
    while low < high:
        middle = (low + high) // 2
        record = journal.read(middle)
        if record is not None and int.from_bytes(record[:4], "little") >= time_s:
            high = middle
        else:
            low = middle + 1
    return low

# SPDX-License-Identifier: MIT
# A technician's session at the serial port: the console's commands over the parts of a waking. Pure.
#
# Imported only when somebody typed something in the window after power-on or reset.

from ..codec.uplink import F_PORT
from ..schema.event_names import EVENTS
from ..schema.quantities import QUALITIES, QUANTITIES
from .console import IDLE_MS, LONGEST_MS, Console, LineReader

_POLL_MS = 50


def serve(cycle, read, write, feed) -> None:  # type: ignore[no-untyped-def]
    """Until ``exit``, five minutes without a word, or an hour; `feed` keeps the watchdog quiet."""
    console = Console(_commands(cycle))
    reader = LineReader()
    clock = cycle.clock
    idle_ms = 0
    ends_ms = clock.now_ms() + LONGEST_MS
    write("console; try help")
    while not console.done and idle_ms < IDLE_MS and clock.now_ms() < ends_ms:
        feed()
        text = read()
        if not text:
            clock.sleep_ms(_POLL_MS)
            idle_ms += _POLL_MS
            continue
        idle_ms = 0
        for character in text:  # more than one line may have come
            line = reader.take(character)
            if line is not None and not console.done:
                for answer in console.execute(line):
                    write(answer)


def _commands(cycle) -> dict:  # type: ignore[no-untyped-def]
    return {
        "status": (lambda words: _status(cycle), "how the node is"),
        "sensors": (lambda words: _sensors(cycle), "one sampling, not recorded"),
        "link": (lambda words: _link(cycle), "asks the network how well it hears the node"),
        "identity": (lambda words: _identity(cycle), "who the node is; no key is shown"),
        "log": (lambda words: _log(cycle), "events since the last daily status"),
        "config": (lambda words: _config(cycle), "what is set"),
    }


def _status(cycle) -> list:  # type: ignore[no-untyped-def]
    node, memory = cycle.node, cycle.memory
    session = cycle.make_sender().runner.mac.session
    return [
        "version %s" % node.version,
        "board %s" % node.board["name"],
        "profile %s" % node.profile["name"],
        "joined %d" % session.joined,
        "time_known %d" % cycle.keeper.known,
        "uptime_s %d" % (cycle.clock.now_ms() // 1000),
        "wakings %d" % memory.wakings,
        "records %d" % cycle.journal.next_id,
        "unsettled %d" % (cycle.journal.next_id - cycle.delivery.floor),
        "battery_mv %s" % node.battery_mv,
        "free_heap %d" % node.free_heap(),
    ]


def _sensors(cycle) -> list:  # type: ignore[no-untyped-def]
    lines = []
    for code, (value, quality) in sorted(cycle.sample().items()):
        name, unit, per_unit = QUANTITIES[code][:3]
        shown = "-" if value is None else "%g" % (value / per_unit)
        lines.append("%s %s %s %s" % (name, shown, unit, QUALITIES[quality]))
    return lines


def _link(cycle) -> list:  # type: ignore[no-untyped-def]
    sender = cycle.make_sender()
    if not sender.join(cycle.clock.now_ms()):
        return ["error not_joined"]
    mac = sender.runner.mac
    mac.request_link_check()
    outcome = sender.exchange(F_PORT, b"")
    lines = ["sent %s" % outcome.code]
    if mac.link_check is not None:
        lines += ["margin_db %d" % mac.link_check[0], "gateways %d" % mac.link_check[1]]
    if outcome.heard:
        lines += ["rssi_dbm %d" % outcome.rssi_dbm, "snr_db %d" % (outcome.snr_quarter_db // 4)]
    return lines


def _identity(cycle) -> list:  # type: ignore[no-untyped-def]
    identity = cycle.node.identity
    session = cycle.make_sender().runner.mac.session
    return [
        "dev_eui %s" % identity.dev_eui.hex(),
        "join_eui %s" % identity.join_eui.hex(),
        "dev_addr %08x" % session.dev_addr,
    ]


def _log(cycle) -> list:  # type: ignore[no-untyped-def]
    return [
        "%s %d count %d" % (EVENTS[code] if code < len(EVENTS) else code, detail, count)
        for code, detail, count in cycle.reporter.events.counts()
    ] or ["nothing"]


def _config(cycle) -> list:  # type: ignore[no-untyped-def]
    reporter = cycle.reporter
    lines = ["interval_s %d" % reporter.setting("interval_s")]
    if reporter.config is not None:
        lines += ["counter %d" % reporter.config.counter, "on_trial %d" % reporter.config.on_trial]
    for quantity, kind, threshold, hysteresis, hold_off_s in reporter.setting("alarms"):
        lines.append("alarm %d %d %d %d %d" % (quantity, kind, threshold, hysteresis, hold_off_s))
    return lines

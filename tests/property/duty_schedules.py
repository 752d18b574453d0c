# SPDX-License-Identifier: MIT
"""Random lives of a node in regions with duty cycles, and what they put on the air, judged from outside.

The judge knows true time and the law alone: in any hour, wherever it starts, a sub-band may not carry more
than its share (ETSI EN 300 220-2). The node knows its clock, which runs wrong, stops without power, and is
told again after every reset. Schedules are adversarial: they ask at the very millisecond that the node named,
on few channels, with the longest frames. Not here: the ledger's own arithmetic (tests/unit).
"""

from __future__ import annotations

import importlib
import random
from dataclasses import dataclass, field

from communode.node.lorawan.exchange import MacError, Plan, Wait
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.session import Session

HOUR_US = 3_600_000_000
DRIFT_PPM = 5000  # of the oscillator that times sleep, as the runner is told (hal/clock.py)
_BANDS_HZ = (863_500_000, 866_300_000, 868_900_000, 869_525_000, 869_850_000)


class Quiet:
    """An AES block that costs nothing: no frame of these lives is ever read."""

    def __init__(self, key: bytes) -> None:
        pass

    def encrypt(self, block: bytes) -> bytes:
        return block


@dataclass
class Life:
    """One node's life; `run` fills what was on air."""

    seed: int
    on_air: list[tuple[int, int, int]] = field(default_factory=list)  # (band, start, end) in true us
    reboots: int = 0
    power_cuts: int = 0
    waits: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        name = "eu868" if self.seed % 5 else "eu433"
        self.region = importlib.import_module(f"communode.node.lorawan.region.{name}").REGION
        self.true_us = self.rng.randrange(HOUR_US)
        self.rate = 1 + self.rng.choice((0, 0, DRIFT_PPM, -DRIFT_PPM, 20)) / 1e6
        self.powered_us = self.true_us
        self.flash: bytes | None = None
        self.cache: bytes | None = None
        self.mac = self._boot()
        self._mend()

    # --- the node -----------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        """The node's clock: since power-on, and a little wrong."""
        return int((self.true_us - self.powered_us) * self.rate) // 1000

    def _boot(self) -> Mac:
        mac = Mac(self.region, Quiet, bytes(8), bytes(8), bytes(16))
        mac.restore(self.flash, self.cache, self._now_ms())
        mac.seed(self.rng.getrandbits(32))
        return mac

    def _mend(self) -> None:
        """Join on the bench, with channels in several sub-bands."""
        rng, mac = self.rng, self.mac
        mac.personalize(1, bytes(16), bytes(16))
        session = mac.session
        if self.region.name == "EU868":
            for channel in range(3, 3 + rng.randrange(4)):
                assert self.region.new_channel(session, channel, rng.choice(_BANDS_HZ), 0x50) == 3
            if rng.random() < 0.5:
                session.mask &= ~7 or 7
            if not session.mask:
                session.mask = 1
        session.adr = False
        self._commit()

    def _commit(self) -> None:
        self.flash = self.mac.flash_record(self._now_ms())

    def _save(self) -> None:
        self.cache = self.mac.cache_record(self._now_ms())

    def _reboot(self) -> None:
        """Deep sleep, or a watchdog: RTC memory and clock go on."""
        self.reboots += 1
        self.mac = self._boot()

    def _cut_power(self, gap_us: int) -> None:
        """RTC memory is gone, and the clock starts again when the power is back."""
        self.power_cuts += 1
        self.true_us += gap_us
        self.powered_us = self.true_us
        self.cache = None
        self.mac = self._boot()

    # --- its life -------------------------------------------------------------------------------------------

    def run(self, events: int) -> Life:
        """Live through so many events."""
        rng = self.rng
        for _ in range(events):
            draw = rng.random()
            if draw < 0.06:
                self._cut_power(rng.choice((0, 1_000_000, 600_000_000, 2 * HOUR_US)))
            elif draw < 0.14:
                self._reboot()
            elif draw < 0.5:
                self.true_us += rng.choice((100_000, 5_000_000, 60_000_000, 240_000_000, 1_500_000_000))
            else:
                self._send_some()
        return self

    def _send_some(self) -> None:
        """A burst; who must wait asks again at the first moment."""
        rng = self.rng
        for _ in range(rng.randrange(1, 12)):
            mac = self.mac
            session = mac.session
            session.data_rate = rng.choice((0, 0, 1, 3, 5))
            session.nb_trans = rng.choice((1, 1, 3))
            joining = rng.random() < 0.05 or not session.joined
            try:
                plan = mac.join(self._now_ms()) if joining else self._uplink(session)
            except MacError:
                return
            if isinstance(plan, Wait):
                self.waits += 1
                if plan.ms > 5_000_000 or rng.random() < 0.1:
                    return
                self.true_us += int(1000 * (plan.ms + 1) / self.rate)
                continue
            while isinstance(plan, Plan):
                if not self._transmit(plan):
                    return
                plan_or = mac.repeat(self._now_ms())
                if not isinstance(plan_or, Plan):
                    break
                plan = plan_or
            mac.finish(self._now_ms())
            mac.close()
            self._save()

    def _uplink(self, session: Session) -> Plan | Wait:
        room = self.region.payload_limit(session, session.data_rate) - 8
        return self.mac.uplink(self._now_ms(), 1, bytes(self.rng.choice((0, room))))

    def _transmit(self, plan: Plan) -> bool:
        """As the runner does it: flash, cache, air. False: the power went on the way."""
        rng = self.rng
        if rng.random() < 0.02:
            self._cut_power(rng.randrange(3_000_000))
            return False
        if plan.commit:
            self.true_us += 50_000
            self._commit()
        self._save()
        if rng.random() < 0.02:
            self._cut_power(rng.randrange(3_000_000))
            return False
        self.true_us += rng.randrange(1_500_000)  # the radio wakes up; it may listen before it talks
        band = self.region.band(plan.uplink.frequency_hz)
        end_us = self.true_us + plan.airtime_us
        self.on_air.append((band, self.true_us, end_us))
        self.true_us = end_us
        if rng.random() < 0.03:
            self._cut_power(rng.choice((0, 1000, 3_000_000)))
            return False
        self.true_us += 2_100_000  # the windows
        return True

    # --- the law --------------------------------------------------------------------------------------------

    def violations(self) -> list[str]:
        """Hours in which a sub-band carried more than its share."""
        found = []
        for number, (low_hz, high_hz, share_ms) in enumerate(self.region.sub_bands):
            sent = [(start, end) for band, start, end in self.on_air if band == number]
            worst_us = max((_carried(sent, index) for index in range(len(sent))), default=0)
            if worst_us > 1000 * share_ms:
                found.append(f"seed {self.seed}: {low_hz}..{high_hz} Hz carried {worst_us} us in an hour")
        return found


def _carried(sent: list[tuple[int, int]], last: int) -> int:
    """Airtime in the hour that ends with transmission ``last``: the worst hours end so."""
    until = sent[last][1]
    since = until - HOUR_US
    carried = 0
    for start, end in reversed(sent[: last + 1]):
        if end <= since:
            break
        carried += end - max(start, since)
    return carried

# SPDX-License-Identifier: MIT
"""A MAC in a session, and the network's side of it."""

from __future__ import annotations

from communode.node.lorawan import frame
from communode.node.lorawan.exchange import Downlink, Plan
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from lorawan_air import Block

ADDR = 0x260B1234
NWK = bytes(range(16))
APP = bytes(range(16, 32))


class Bench:
    """A personalised MAC and the network's side of its session."""

    def __init__(self) -> None:
        self.mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
        self.mac.restore(None, None, 0)
        self.mac.personalize(ADDR, NWK, APP)
        self.session = self.mac.session
        self.session.data_rate = 5
        self.security = frame.Security(ADDR, Block(NWK), Block(APP))
        self.fcnt_down = 0
        self.now = 0
        self.plan: Plan | None = None

    def up(
        self, payload: bytes = b"x", f_port: int | None = 1, confirmed: bool = False, answered: bool = False
    ) -> frame.Data:
        """Send one uplink, and unless a downlink is to follow, end it unanswered; what the network reads."""
        self.now += 600_000
        plan = self.mac.uplink(self.now, f_port, payload, confirmed)
        assert isinstance(plan, Plan), plan
        self.plan = plan
        if not answered:
            self.mac.finish(self.now)
            self.mac.close()
        return frame.open_data(self.security, plan.wire, self.session.fcnt_up - 1)

    def wire(
        self, f_opts: bytes = b"", f_port: int | None = None, payload: bytes = b"", **more: int
    ) -> bytes:
        """A downlink as the network builds it."""
        m_hdr, f_ctrl = more.get("m_hdr", frame.UNCONFIRMED_DOWN), more.get("f_ctrl", 0)
        fcnt = more.get("fcnt", self.fcnt_down)
        return frame.build_data(self.security, m_hdr, f_ctrl, fcnt, f_opts, f_port, payload)

    def down(
        self, f_opts: bytes = b"", snr_quarter_db: int = 30, data_rate: int = 5, **more: int
    ) -> Downlink | None:
        """Uplink, then this downlink in RX1."""
        self.up(answered=True)
        return self.take(self.wire(f_opts, **more), snr_quarter_db, data_rate)

    def take(self, wire: bytes, snr_quarter_db: int = 30, data_rate: int = 5) -> Downlink | None:
        assert self.plan
        got = self.mac.receive(self.plan, wire, data_rate, snr_quarter_db, self.now)
        self.mac.finish(self.now)
        self.mac.close()
        if got is not None:
            self.fcnt_down += 1
        assert got is None or isinstance(got, Downlink)
        return got

    def order(self, hexes: str, **more: int) -> str:
        """MAC commands down in FOpts or (when long) on port 0; the answers of the next uplink."""
        data = bytes.fromhex(hexes)
        if len(data) <= 15:
            assert self.down(data, **more)
        else:
            self.up(answered=True)
            assert self.take(self.wire(b"", 0, data), **more)
        got = self.up()
        return (got.payload if got.f_port == 0 else got.f_opts).hex()

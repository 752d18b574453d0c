# SPDX-License-Identifier: MIT
# The certification protocol of the LoRa Alliance (TS009) on port 224, for a node in a test laboratory.
#
#   dut = Certification(mac, (0, 1, 0, 0))
#   while True:
#       f_port, payload, confirmed = dut.next_uplink()
#       outcome = runner.send(f_port, payload, confirmed)
#       dut.take(outcome.downlinks, outcome.acked)
#       if dut.action: ...                       "reset", "join" or "disable": the caller does it
#       clock.sleep_ms(dut.period_ms)
#
# It is made only when the configuration says so: in the field whoever holds the AppSKey could otherwise
# switch the duty cycle off. Not here: classes B and C, and the unmodulated carrier (TxCwReq), which the modem
# interface does not have; both are ignored, as TS009 wants of what is not supported.
# Source: TS009-1.1.0, chapter 5 (package identifier 6, version 1).

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .mac import Mac

F_PORT = const(224)
_FILLER_PORT = const(1)
_PERIODS_S = b"\x00\x05\x0a\x14\x1e\x28\x32\x3c\x78\xf0"  # index 10 is 480 s
_DEFAULT_PERIOD_S = const(10)
_PACKAGE = b"\x00\x06\x01"
_VERSIONS = b"\x01\x00\x04\x00\x02\x01\x00\x04"  # TS001-1.0.4, RP002-1.0.4


class Certification:
    """What the test harness has ordered. ``firmware`` is four numbers."""

    def __init__(self, mac: "Mac", firmware: "tuple[int, int, int, int]") -> None:
        self.mac = mac
        self.period_ms = 1000 * _DEFAULT_PERIOD_S
        self.confirmed = False
        self.action = ""
        self.received = 0  # downlinks with application data or an acknowledgement
        self._firmware = bytes(firmware)
        self._answer = b""

    def next_uplink(self) -> "tuple[int, bytes, bool]":
        """Port, payload and kind of the next uplink: the answer that is due, or something to send."""
        answer, self._answer = self._answer, b""
        if answer:
            return F_PORT, answer[: self.mac.max_payload()], self.confirmed
        return _FILLER_PORT, b"\x00", self.confirmed

    def take(self, downlinks: "list[tuple[int, bytes]]", acked: bool) -> None:
        """Count what one uplink brought, and follow the commands in it."""
        self.received += max(len(downlinks), acked)
        for f_port, payload in downlinks:
            if f_port == F_PORT and payload:
                self._execute(payload[0], payload[1:])

    def _execute(self, command: int, body: bytes) -> None:
        mac = self.mac
        number = body[0] if body else -1
        if command == 0x00:  # PackageVersionReq
            self._answer = _PACKAGE
        elif command == 0x01:  # DutResetReq
            self.action = "reset"
        elif command == 0x02:  # DutJoinReq
            self.action = "join"
        elif command == 0x04 and number in (0, 1):  # AdrBitChangeReq
            mac.set_adr(number == 1)
        elif command == 0x05 and number in (0, 1):  # RegionalDutyCycleCtrlReq
            mac.duty_cycle = number == 1
        elif command == 0x06 and 0 <= number <= 10:  # TxPeriodicityChangeReq
            period_s = 480 if number == 10 else _PERIODS_S[number] or _DEFAULT_PERIOD_S
            self.period_ms = 1000 * period_s
        elif command == 0x07 and number in (1, 2):  # TxFramesCtrlReq: 0 is no change
            self.confirmed = number == 2
        elif command == 0x08:  # EchoIncPayloadReq
            self._answer = b"\x08" + bytes([byte + 1 & 0xFF for byte in body])
        elif command == 0x09:  # RxAppCntReq
            self._answer = b"\x09" + (self.received & 0xFFFF).to_bytes(2, "little")
        elif command == 0x0A:  # RxAppCntResetReq
            self.received = 0
        elif command == 0x20:  # LinkCheckReq
            mac.request_link_check()
        elif command == 0x21:  # DeviceTimeReq
            mac.request_device_time()
        elif command == 0x7E:  # DutFPort224DisableReq
            self.action = "disable"
        elif command == 0x7F:  # DutVersionsReq
            self._answer = b"\x7f" + self._firmware + _VERSIONS

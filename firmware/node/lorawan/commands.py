# SPDX-License-Identifier: MIT
# The MAC commands of a class A end-device: executing what the network sends, collecting answers. Pure.
#
# Not here: when answers go out (mac.py), what a channel plan allows (region/).
# Source: L2 = TS001-1.0.4, chapter 5. The first unknown or cut-off command ends the list (L2 5).

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .mac import Mac
    from .session import Session

LINK_CHECK = const(0x02)
LINK_ADR = const(0x03)
DUTY_CYCLE = const(0x04)
RX_PARAM_SETUP = const(0x05)
DEV_STATUS = const(0x06)
NEW_CHANNEL = const(0x07)
RX_TIMING_SETUP = const(0x08)
TX_PARAM_SETUP = const(0x09)
DL_CHANNEL = const(0x0A)
DEVICE_TIME = const(0x0D)

_UNKNOWN = const(255)
# Answers beyond this are cut off, so that the session record has a bounded size: what DR0 of EU868 can carry.
_MAX_ANSWERS = const(51)
# Payload length by CID: of what the network sends, and of our answers.
_REQUEST_SIZES = b"\xff\xff\x02\x04\x01\x04\x00\x05\x01\x01\x04\xff\xff\x05"
_ANSWER_SIZES = b"\xff\xff\x00\x01\x00\x01\x02\x01\x00\x00\x01\xff\xff\x00"


def fitting(answers: bytes, room: int) -> bytes:
    """As many whole answers from the front as fit into ``room`` bytes (L2 5: truncate at a command)."""
    end = 0
    while end < len(answers):
        after = end + 1 + _ANSWER_SIZES[answers[end]]
        if after > room:
            break
        end = after
    return answers[:end]


def sticky(answers: bytes) -> bytes:
    """The answers that every uplink repeats until a downlink arrives (L2 5.4, 5.7, 5.8, 5.9)."""
    kept = b""
    at = 0
    while at < len(answers):
        after = at + 1 + _ANSWER_SIZES[answers[at]]
        if answers[at] in (RX_PARAM_SETUP, RX_TIMING_SETUP, TX_PARAM_SETUP, DL_CHANNEL):
            kept += answers[at:after]
        at = after
    return kept


def execute(mac: "Mac", data: bytes, snr_quarter_db: int, sent_ms: int) -> bytes:
    """Execute the commands of one downlink in order and return the answers.

    ``snr_quarter_db`` of that downlink, ``sent_ms`` the clock at the end of the uplink it follows.
    """
    answers = bytearray()
    at = 0
    while at < len(data):
        cid = data[at]
        size = _REQUEST_SIZES[cid] if cid < len(_REQUEST_SIZES) else _UNKNOWN
        at += 1
        if at + size > len(data):  # also for what is unknown, as no frame is that long
            break
        if cid == LINK_ADR:
            end = at + size
            while end + 5 <= len(data) and data[end] == LINK_ADR:
                end += 5
            status = _link_adr(mac, data[at - 1 : end])
            for _ in range(at - 1, end, 5):
                answers += bytes((cid, status))
            at = end
            continue
        body = data[at : at + size]
        at += size
        if cid == LINK_CHECK:
            mac.link_check = (body[0], body[1])
        elif cid == DEVICE_TIME:
            mac.take_device_time(int.from_bytes(body[:4], "little"), body[4], sent_ms)
        elif cid == DEV_STATUS:
            margin = min(max((snr_quarter_db + 2) >> 2, -32), 31)
            answers += bytes((cid, mac.battery, margin & 0x3F))
        else:
            answers += _configure(mac.session, cid, body)
    return fitting(bytes(answers), _MAX_ANSWERS)


def _configure(session: "Session", cid: int, body: bytes) -> bytes:
    """The commands that only change the session; the answer, or nothing where the region drops them."""
    region = session.region
    frequency_hz = 100 * int.from_bytes(body[1:4], "little")
    if cid == DUTY_CYCLE:
        session.max_duty_cycle = body[0] & 15
        return b"\x04"
    if cid == RX_TIMING_SETUP:
        session.rx_delay = body[0] & 15 or 1
        return b"\x08"
    if cid == TX_PARAM_SETUP:
        if not region.tx_param_setup:
            return b""
        session.tx_param = body[0] & 0x3F
        return b"\x09"
    if cid == RX_PARAM_SETUP:
        status = _rx_param(session, body[0], frequency_hz)
    elif not region.dynamic:
        return b""
    elif cid == NEW_CHANNEL:
        status = region.new_channel(session, body[0], frequency_hz, body[4])
    else:
        status = region.dl_channel(session, body[0], frequency_hz)
    return bytes((cid, status))


def _rx_param(session: "Session", dl_settings: int, frequency_hz: int) -> int:
    """RXParamSetupReq: all or nothing; status bit 0 frequency, 1 RX2 data rate, 2 RX1 offset (L2 5.4)."""
    region = session.region
    offset, data_rate = dl_settings >> 4 & 7, dl_settings & 15
    status = 1 if region.receivable(frequency_hz) else 0
    if region.downlink_rate(data_rate):
        status |= 2
    if offset <= region.max_rx1_dr_offset:
        status |= 4
    if status == 7:
        session.rx2_frequency_hz = frequency_hz
        session.rx2_data_rate = data_rate
        session.rx1_dr_offset = offset
    return status


def _link_adr(mac: "Mac", block: bytes) -> int:
    """A contiguous block of LinkADRReq, applied as one (L2 5.2); status bit 0 mask, 1 data rate, 2 power.

    With ADR off only the channel mask is followed, and the status says so.
    """
    session = mac.session
    region = session.region
    mask = session.mask
    for at in range(0, len(block), 5):
        control = block[at + 4] >> 4 & 7
        mask = region.masked(session, mask, control, block[at + 2] | block[at + 3] << 8)
        if mask < 0:
            break
    last = block[-4:]
    data_rate, power_index = last[0] >> 4, last[0] & 15
    if data_rate == 15 or not session.adr:
        data_rate = session.data_rate
    if power_index == 15 or not session.adr:
        power_index = session.power_index
    status = 0
    if region.acceptable(session, mask):
        status = 3 if region.supporting(session, mask, data_rate) else 1
    elif region.supporting(session, region.defined(session), data_rate):
        status = 2
    if power_index <= region.max_power_index and mac.can_send_at(power_index):
        status |= 4
    if not session.adr:
        if status & 3 == 3:
            session.mask = mask
        else:
            status &= ~1
        return status & 1
    if status == 7:
        session.mask = mask
        session.data_rate = data_rate
        session.power_index = power_index
        session.nb_trans = last[3] & 15 or 1
    return status

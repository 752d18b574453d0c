# SPDX-License-Identifier: MIT
"""The certification suites on nodes that are wrong: each defect is one that real stacks have had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import test_certification as alliance
import test_certification_script as script
from laboratory import Laboratory, make_flash
from laboratory_fixtures import MakeLaboratory

DEFECTS = {
    "answers are not repeated until a downlink": (
        ("lorawan/commands.py", "RX_TIMING_SETUP, TX_PARAM_SETUP, DL_CHANNEL)", "99)"),
        alliance.test_2_5_3_dl_channel,
    ),
    "old counters are taken": (
        ("lorawan/frame.py", "    if fcnt < next_fcnt:\n        fcnt += 0x10000\n", ""),
        script.test_07_frame_sequence_numbers,
    ),
    "MAC commands in two places are followed": (
        ("lorawan/frame.py", 'raise FrameError("f_opts")', "pass"),
        script.test_09_mac_commands_in_two_places,
    ),
    "windows open half a preamble late": (
        ("lorawan/runner.py", "nominal, -lead_us - error_us - modem.rx_latency_us)", "nominal, 5000)"),
        partial(script.test_06_downlink_timing, drift_ppm=0),
    ),
    "the light sleep's error is not known": (
        ("hal/clock.py", "RC_PPM = 5000", "RC_PPM = 20"),
        partial(script.test_14_rx_timing_setup_req, drift_ppm=-5000),
    ),
    "a DevNonce is used twice": (
        ("lorawan/mac.py", "session.dev_nonce += 1", "pass"),
        alliance.test_2_2_1_join_requests_before_an_accept,
    ),
    "RX2 keeps its default rate": (
        ("lorawan/mac.py", "session.rx2_data_rate = rx2_data_rate", "pass"),
        alliance.test_2_2_6_cf_list_and_settings_of_the_accept_hold_at_once,
    ),
    "half a block of LinkADRReq is applied": (
        (
            "lorawan/commands.py",
            "    if status == 7:\n        session.mask",
            "    if status:\n        session.mask",
        ),
        alliance.test_2_5_8_a_block_of_link_adr_is_one_order,
    ),
    "the ADR back-off does not begin": (
        ("lorawan/mac.py", "backoff.step_down(self.session)", "pass"),
        alliance.test_5_the_adr_back_off_goes_down_its_ladder,
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name: str, tmp_path: Path, micropython: str) -> None:
    defect, test = DEFECTS[name]
    made: list[Laboratory] = []
    flash = make_flash(tmp_path / "wrong.flash", defect)

    def make(**settings: float) -> Laboratory:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Laboratory(Path(shutil.copy(flash, folder / "node.flash")), folder, **settings))
        return made[-1]

    run: Callable[[MakeLaboratory], None] = test
    try:
        with pytest.raises(AssertionError) as caught:
            run(make)
        assert "did not end" not in str(caught.value)  # it ran, and did wrong
    finally:
        for laboratory in made:
            laboratory.close()

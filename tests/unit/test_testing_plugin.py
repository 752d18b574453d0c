# SPDX-License-Identifier: MIT
"""The pytest plugin in pytest runs of its own: on a virtual board, at a serial port, beside other plugins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest
from communode.testing.node import Bench

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(180)

ANY_BODY = """
    def test_the_board_computes(node):
        assert node.exec("print(6 * 7)") == "42\\n"

    def test_the_program_starts_after_a_reset(node):
        node.expect(r"communode \\S+ virtual air")
        node.reset()
        node.expect(r"communode \\S+ virtual air")
        node.expect(r"not provisioned")
        node.write("print(6 * 7)\\r")
        assert node.expect(r"\\n(\\d+)\\r").group(1) == "42"
"""
EMBEDDED = """
    import pytest

    @pytest.mark.filterwarnings("ignore")
    def test_pytest_embedded_talks_to_the_board(dut):
        for key in (b"\\x03", b"\\r"):  # one at a time: an interrupt that is late discards the line after it
            dut.write(key)
            dut.expect_exact(">>> ", timeout=10)
        dut.write(b"import sys; print(sys.platform, 6 * 7)\\r")
        dut.expect(r"esp32 (\\d+)", timeout=10)
"""
# How the plugin gets in: by its entry point where communode is installed, by name in a bare checkout.
PLUGIN = (
    []
    if any(entry.name == "communode" for entry in entry_points(group="pytest11"))
    else ["-p", "communode.testing.plugin"]
)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *PLUGIN, *arguments, timeout=120)


@pytest.fixture(scope="module")
def bench(micropython: str) -> Iterator[Bench]:
    """A flashed virtual board, to be met at its serial port."""
    with Bench() as bench:
        yield bench


def test_the_module_imports_nothing_but_pytest() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules);"
        "import communode.testing.plugin;"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    # `micropython` is the package's own stand-in for the device's module.
    assert done.stdout.strip() == "['communode', 'micropython']", done.stderr


def test_it_harms_no_environment_without_extras_or_with_pytest_repeat(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        bare="""
        import sys

        class Missing:  # what an environment without the extras has not
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("serial", "pexpect", "pytest_embedded", "micropython_run"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Missing())

        def pytest_addoption(parser):
            parser.addoption("--count", type=int, default=1)  # as pytest-repeat does
        """,
        test_other="def test_it_runs(request): assert request.config.getoption('count') == 3",
    )
    result = pytester.runpytest_subprocess("-p", "bare", "-p", "communode.testing.plugin", "--count", "3")
    result.assert_outcomes(passed=1)


def test_a_test_of_a_node_runs_on_a_virtual_board(pytester: pytest.Pytester, micropython: str) -> None:
    pytester.makepyfile(ANY_BODY)
    run(pytester).assert_outcomes(passed=2)


def test_the_same_test_runs_at_a_serial_port(pytester: pytest.Pytester, bench: Bench) -> None:
    pytester.makepyfile(ANY_BODY)
    run(pytester, "--dut", "serial", "--port", bench.port, "--dut-keep").assert_outcomes(passed=2)


def test_without_pytest_embedded_the_environment_names_the_port(
    pytester: pytest.Pytester, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMUNODE_PORT", bench.port)
    pytester.makepyfile(ANY_BODY)
    result = run(pytester, "-p", "no:pytest_embedded", "--dut", "serial", "--dut-keep")
    result.assert_outcomes(passed=2)


def test_a_provisioned_node_starts_to_work(pytester: pytest.Pytester, micropython: str) -> None:
    pytester.makepyfile('def test_it_starts(node): node.expect("starting")')
    run(pytester, "--dut-provision", "--dut-board", "heltec_ht_ct62", "--dut-profile", "bin").assert_outcomes(
        passed=1
    )


def test_a_serial_dut_without_a_port_says_what_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ANY_BODY)
    result = run(pytester, "--dut", "serial")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*--dut serial needs --port*"])


def test_a_failure_shows_what_the_board_printed_instead(pytester: pytest.Pytester, bench: Bench) -> None:
    pytester.makepyfile(
        """
        import pytest
        from communode.link.raw_repl import BoardError

        def test_waiting(node):
            node.expect(r"communode \\S+ (?=virtual air)")  # it takes as long as it takes
            node.expect("never said", timeout_s=2)

        def test_raising(node):
            with pytest.raises(BoardError, match="ZeroDivisionError"):
                node.exec("1 / 0")
        """
    )
    result = run(pytester, "--dut", "serial", "--port", bench.port, "--dut-keep")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*did not print 'never said' in 2 s, but 'virtual air*"])


def test_pytest_embedded_passes_at_the_port_of_a_virtual_board(
    pytester: pytest.Pytester, bench: Bench
) -> None:
    pytester.makepyfile(EMBEDDED)
    run(pytester, "--embedded-services", "serial", "--port", bench.port).assert_outcomes(passed=1)


def test_pytest_embedded_gets_a_virtual_board_when_asked_for_one(
    pytester: pytest.Pytester, micropython: str
) -> None:
    pytester.makepyfile(EMBEDDED)
    run(pytester, "--dut", "virtual", "--embedded-services", "serial").assert_outcomes(passed=1)

"""A process that is told to end, as the operating system sees it."""

import signal
import subprocess
import sys
import time

import pytest

PATIENCE = 60  # seconds until a hanging test fails
SCRIPT = """
import os, signal, sys, threading, time
from poster2plot.server.shutdown import drain_on_signals

assert "torch" not in sys.modules
ended = threading.Event()

def say(text):
    os.write(1, f"{text}\\n".encode())  # whole lines, whichever thread speaks

def as_a_web_server(number, frame):
    say("stops to listen")
    ended.set()

def close(seconds):
    say(f"closes in {seconds}")
    if MODE == "hangs":
        time.sleep(600)

MODE = sys.argv[1]
signal.signal(signal.SIGTERM, as_a_web_server)
drain_on_signals(close, seconds=0.2, left=0.3 if MODE == "hangs" else 60)
say("ready")
ended.wait(600)
if MODE == "hangs":
    time.sleep(600)
time.sleep(0.1)
say("ends")
"""


@pytest.mark.parametrize("mode", ["ends by itself", "hangs"])
def test_a_signal_drains_and_ends_within_a_bounded_time(mode: str):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    for _ in range(2):  # an impatient host
        process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    lines = said.splitlines()
    assert lines.count("closes in 0.2") == 1
    assert "stops to listen" in lines
    assert ("ends" in lines) == (mode != "hangs")
    assert time.monotonic() - began < PATIENCE / 2

"""Several processes of one run, of which one is no more."""

import os
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
from poster2plot.batch.failures import StoppedError
from poster2plot.batch.processes import Processes
processes = Processes("cpu")
assert processes.first(lambda: "all") == "all"
if not processes.is_first:
    if sys.argv[1] == "wait":
        os._exit(9)
    processes.wait()
    os._exit(9)
try:
    processes.wait()
    processes.first(lambda: "x" * 10**8)
except StoppedError as error:
    print(error)
"""


@pytest.mark.parametrize("moment", ["wait", "first"])
def test_what_one_process_is_told_when_another_was_killed(moment: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    several = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, moment],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | several
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)},
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert processes[1].returncode == 9
    assert "another of its processes ended" in said[0]
    assert "start the same command again to go on" in said[0]

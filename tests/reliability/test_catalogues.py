"""A slice of `python -m reliability.catalogues`: runs killed, catalogues altered, rows compared."""

import subprocess
import sys


def test_no_row_is_wrong_lost_or_doubled():
    command = [sys.executable, "-m", "reliability.catalogues", "--trials", "4", "--seed", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 wrong, 0 lost, 0 doubled, 0 runs that failed" in done.stdout

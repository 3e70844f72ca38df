"""`python -m standin MODULE ...`: run a module as the main program, with the stand-in in the place of a GPU."""

from __future__ import annotations

import runpy
import sys

from standin.device import install

if __name__ == "__main__":
    install(simulated=False)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

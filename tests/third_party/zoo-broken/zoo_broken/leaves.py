"""Ends the process that imports it."""

import sys

sys.exit("this machine is too small")

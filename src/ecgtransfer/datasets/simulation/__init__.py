"""Simulated 12-lead ECGs with exact labels: the embedded default, from hospitals that can be made to differ.

`site` says what a hospital is, `people` draws its patients, `rhythm` times their beats, `waves` gives every
beat its moving dipole, `heart` draws the beats, `device` adds what electrodes and amplifier do, and
`generate` puts it together in memory or as files. How faithful the result is, is measured: docs/simulator.md.
"""

from ecgtransfer.datasets.simulation.generate import Simulated, generate, simulate
from ecgtransfer.datasets.simulation.site import RHYTHMS, SITES, STATEMENTS, Site

__all__ = ["RHYTHMS", "SITES", "STATEMENTS", "Simulated", "Site", "generate", "simulate"]

"""What a spawned engine core, and every process it spawns, runs as its main module.

It comes before anything is imported there.
"""

from actors.lifeline import hold_on
from understand_r1_zero.launch import collect_garbage_seldom

collect_garbage_seldom()
hold_on()

"""What a spawned engine core, and every process it spawns, runs as its main module.

It comes before anything else is imported there.
"""

import threading

from tqdm import tqdm

from actors.lifeline import hold_on
from understand_r1_zero.launch import collect_garbage_seldom

hold_on()
collect_garbage_seldom()
# Its own lock would be a named semaphore, which a killed process leaves behind in shared memory.
tqdm.set_lock(threading.RLock())

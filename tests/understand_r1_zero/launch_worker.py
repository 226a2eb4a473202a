"""What test_launch.py keeps in its processes."""

import os

import numpy as np


class Worker:
    def __init__(self, name):
        self.name = name
        self.part = self

    def add(self, values, amount):
        return float(values.sum()) + amount

    def payload(self):
        return np.ones(1_000_000, np.float32), "a million ones"

    def variable(self, name):
        return os.environ.get(name)

    def fail(self):
        raise ValueError("--flag must be positive, got -1")

    def die(self):
        os._exit(1)

    def say(self, text):
        print(text, flush=True)

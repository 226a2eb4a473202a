"""Updates on the real engine; `rank_process.py` runs them, in one process and in two."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests_rank_process import make_trajectories  # noqa: F401

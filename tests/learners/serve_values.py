"""A value model on vLLM's own pooling runner: `python serve_values.py DIRECTORY IDS.json OUTPUTS.json`."""

import json
import os
import sys
from pathlib import Path

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
}

from vllm import LLM
from vllm.config import PoolerConfig
from vllm.inputs import TokensPrompt


def main(directory: str, ids_path: Path, outputs_path: Path) -> None:
    """Write the bare output at every token of every sequence."""
    llm = LLM(
        directory,
        runner="pooling",
        pooler_config=PoolerConfig(use_activation=False),
        dtype="float32",
        enforce_eager=True,
        max_model_len=256,
    )
    prompts = [TokensPrompt(prompt_token_ids=ids) for ids in json.loads(ids_path.read_text())]
    found = llm.encode(prompts, pooling_task="token_classify", use_tqdm=False)
    outputs = [output.outputs.data.flatten().tolist() for output in found]
    outputs_path.write_text(json.dumps(outputs))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

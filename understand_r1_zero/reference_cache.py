"""Reference log-probs of offline pairs on disk: computed once, found again by resumed runs."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from understand_r1_zero.args import Args
from understand_r1_zero.run_directory import write_atomic
from understand_r1_zero.types import PreferencePair, Spans


def digest_of(pairs: Sequence[PreferencePair], args: Args) -> str:
    """What reference log-probs depend on: the tokens that count, the model and the temperature."""
    found = hashlib.blake2b(digest_size=16)
    model = args.model
    found.update(repr((model.pretrain, model.dtype, args.sampling.temperature)).encode())
    for pair in pairs:
        for token_ids, spans in (
            (pair.prompt_token_ids, None),
            (pair.chosen_token_ids, pair.chosen_spans),
            (pair.rejected_token_ids, pair.rejected_spans),
        ):
            found.update(_describe(token_ids, spans))
    return found.hexdigest()


def write_reference(path: Path, digest: str, ref_logprobs: np.ndarray) -> None:
    """Write reference log-probs (P, 2) under the digest of their pairs; raises DiskError."""
    buffer = io.BytesIO()
    np.savez(buffer, digest=np.array(digest), ref_logprobs=ref_logprobs)
    write_atomic(path, buffer.getvalue())


def read_reference(path: Path, digest: str) -> np.ndarray | None:
    """What `write_reference` wrote there; None where there is nothing.

    Raises:
        ValueError: the file is of other pairs, of another model, or broken.
    """
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            if str(file["digest"]) == digest:
                return file["ref_logprobs"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}; remove it") from error
    raise ValueError(
        f"{path} holds reference log-probs of other pairs, another --pretrain or another "
        "--temperature; give the run's own --preference_data, or start anew"
    )


def with_reference(
    pairs: Sequence[PreferencePair], ref_logprobs: np.ndarray
) -> list[PreferencePair]:
    """The pairs with their rows of reference log-probs (P, 2): of chosen and rejected, in nats."""
    return [
        replace(pair, ref_logprobs=(float(chosen), float(rejected)))
        for pair, (chosen, rejected) in zip(pairs, ref_logprobs, strict=True)
    ]


def _describe(token_ids: np.ndarray, spans: Spans | None) -> bytes:
    return f"{len(token_ids)} {spans}".encode() + np.asarray(token_ids, np.int64).tobytes()

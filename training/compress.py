"""An exported network made faster: operators fused, weights in 8 bits, or everything in 16.

Each function writes one ONNX file. Whether its answers are good enough is another question, and
measured: `experiments.artefacts`.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["fuse", "to_float16", "to_int8"]

_PRODUCTS = ("MatMul", "Attention")


def fuse(path: Path, heads: int, hidden: int) -> dict[str, int]:
    """Fuse attention, embedding, GELU and layer norm of a BERT-like encoder, in place.

    Args:
        path: an ONNX file.
        heads: attention heads of each layer.
        hidden: width of the encoder.

    Returns:
        How often each fusion was made; empty where the graph is of another kind.
    """
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    # The fused operator is a scalar loop on CPUs, slower than the two that it replaces; where it is
    # fast (CUDA), ONNX Runtime fuses it by itself when the model is opened.
    options.enable_skip_layer_norm = False
    with _quiet():
        model = optimizer.optimize_model(
            str(path),
            model_type="bert",
            num_heads=heads,
            hidden_size=hidden,
            optimization_options=options,
            opt_level=0,
        )
    made = {name: count for name, count in model.get_fused_operator_statistics().items() if count}
    if made:
        model.save_model_to_file(str(path))
    return made


def to_int8(source: Path, target: Path, probes: Sequence[Mapping[str, Any]], keep: int = 0) -> None:
    """Weights of the encoder as signed bytes, one scale for each column; activations quantised as they come.

    The heads and the n-gram view stay in float32: they cost little, and their errors would add up.

    Args:
        probes: inputs of real messages, by which the products are judged.
        keep: so many of the encoder's matrix products stay in float32 too, those that lose most. A few
            activations have outliers which leave the other values only a few of the 256 steps.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(source))
    exact = [node.name for node in model.graph.node if node.op_type == "Gemm"]
    exact += _most_sensitive(model, probes)[:keep] if keep else []
    with _quiet():
        quantize_dynamic(
            str(source),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=exact,
            op_types_to_quantize=list(_PRODUCTS),
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def _most_sensitive(model: Any, probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Matrix products with constant weights, worst first by the signal-to-noise ratio that eight bits leave.

    A step of the input's range is noise of variance step^2 / 12 in each input value, which the weights
    carry to the output; it is compared with the variance of the exact output.
    """
    import numpy as np
    import onnx
    import onnxruntime

    weights = {item.name: item for item in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]
    wanted = sorted({node.input[0] for node in products})
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {item.name for item in watched.graph.output}
    for name in wanted:
        if name not in known:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            watched.graph.output.append(value)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    matrices = {node.name: onnx.numpy_helper.to_array(weights[node.input[1]]) for node in products}
    noise = dict.fromkeys(matrices, 0.0)
    signal = dict.fromkeys(matrices, 0.0)
    for probe in probes:
        values = dict(zip(wanted, session.run(wanted, dict(probe)), strict=True))
        for node in products:
            entering, matrix = values[node.input[0]], matrices[node.name]
            step = (max(0.0, entering.max()) - min(0.0, entering.min())) / 255
            noise[node.name] += float(step**2 / 12 * np.square(matrix).sum(0).mean())
            signal[node.name] += float(
                np.median((entering.reshape(-1, matrix.shape[0]) @ matrix).var(axis=0))
            )
    return sorted(matrices, key=lambda name: signal[name] / max(noise[name], 1e-30))


def to_float16(source: Path, target: Path) -> None:
    """Everything in half precision, inputs and outputs as they were; for GPUs."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        model = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True, disable_shape_infer=True)
    onnx.save(model, str(target))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's tools warn of what they cannot do; the parity checks judge what they did."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)

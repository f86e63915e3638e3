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


def to_int8(
    source: Path, target: Path, probes: Sequence[Mapping[str, Any]], split: int = 0, channels: int = 8
) -> None:
    """Weights of the encoder as signed bytes, one scale for each column; activations quantised as they come.

    A few input channels of some products carry values many times larger than all others, which leave
    those only a few of the 256 steps. In the products that lose most by it these channels are computed
    apart, exactly (Dettmers et al., "LLM.int8()", 2022; here the channels are chosen once, on `probes`).
    The heads and the n-gram view stay in float32: they cost little, and their errors would add up.

    Args:
        probes: inputs of real messages, by which the products are judged.
        split: so many products are split, those that lose most.
        channels: input channels that are computed apart in each.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(source))
    exact = [node.name for node in model.graph.node if node.op_type == "Gemm"]
    if split:
        sensitive = _most_sensitive(model, probes)[:split]
        exact += [_split_product(model, name, largest[:channels]) for name, largest in sensitive]
    with _quiet():
        quantize_dynamic(
            model,
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=exact,
            op_types_to_quantize=list(_PRODUCTS),
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def _split_product(model: Any, name: str, channels: Sequence[int]) -> str:
    """Turn x @ W into (x without channels) @ W + x[channels] @ W[channels]; returns the exact part's name."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    place, node = next((place, node) for place, node in enumerate(graph.node) if node.name == name)
    weights = next(item for item in graph.initializer if item.name == node.input[1])
    matrix = numpy_helper.to_array(weights)
    rest = np.ones(matrix.shape[0], np.float32)
    rest[list(channels)] = 0.0
    entering, leaving = node.input[0], node.output[0]
    for suffix, value in (
        ("rest", rest),
        ("channels", np.array(channels, np.int64)),
        ("exact_weights", matrix[list(channels)]),
    ):
        graph.initializer.append(numpy_helper.from_array(value, f"{name}/{suffix}"))
    node.input[0], node.output[0] = f"{name}/rest_values", f"{name}/rest_product"
    made = [
        helper.make_node("Mul", [entering, f"{name}/rest"], [f"{name}/rest_values"], f"{name}/rest"),
        helper.make_node(
            "Gather", [entering, f"{name}/channels"], [f"{name}/channel_values"], f"{name}/gather", axis=2
        ),
        helper.make_node(
            "MatMul",
            [f"{name}/channel_values", f"{name}/exact_weights"],
            [f"{name}/exact_product"],
            f"{name}/exact",
        ),
        helper.make_node("Add", [f"{name}/rest_product", f"{name}/exact_product"], [leaving], f"{name}/sum"),
    ]
    for offset, new in enumerate(made[:3]):
        graph.node.insert(place + offset, new)
    graph.node.insert(place + 4, made[3])
    assert isinstance(model, onnx.ModelProto)
    return f"{name}/exact"


def _most_sensitive(model: Any, probes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[int]]]:
    """Matrix products with constant weights, and their input channels, largest values first.

    The worst product comes first, by the signal-to-noise ratio that eight bits leave: a step of the
    input's range is noise of variance step^2 / 12 in each input value, which the weights carry to the
    output; it is compared with the variance of the exact output in the median channel.
    """
    import numpy as np
    import onnx
    import onnxruntime

    weights = {item.name: item for item in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    wanted = sorted({node.input[0] for node in products})
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in wanted:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        watched.graph.output.append(value)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    matrices = {node.name: onnx.numpy_helper.to_array(weights[node.input[1]]) for node in products}
    noise, signal = dict.fromkeys(matrices, 0.0), dict.fromkeys(matrices, 0.0)
    largest = {name: np.zeros(len(matrix), np.float32) for name, matrix in matrices.items()}
    for probe in probes:
        values = dict(zip(wanted, session.run(wanted, dict(probe)), strict=True))
        for node in products:
            matrix = matrices[node.name]
            entering = values[node.input[0]].reshape(-1, len(matrix))
            step = (max(0.0, entering.max()) - min(0.0, entering.min())) / 255
            noise[node.name] += float(step**2 / 12 * np.square(matrix).sum(0).mean())
            signal[node.name] += float(np.median((entering @ matrix).var(axis=0)))
            largest[node.name] = np.maximum(largest[node.name], np.abs(entering).max(axis=0))
    order = sorted(matrices, key=lambda name: signal[name] / max(noise[name], 1e-30))
    return [(name, np.argsort(-largest[name]).tolist()) for name in order]


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

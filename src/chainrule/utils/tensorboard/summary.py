"""What is logged as TensorBoard's protocol buffers: numbers, histograms, texts, curves, layouts, tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from chainrule.core.tensor.tensor import Tensor

__all__ = [
    "custom_scalars", "histogram", "histogram_raw", "hparams", "make_np", "mesh", "pr_curve", "pr_curve_raw", "scalar",
    "tensor_proto", "text",
]  # fmt: skip

_MOST_THRESHOLDS = 127  # of a curve that TensorBoard reads


def make_np(x: Any) -> np.ndarray:
    """Return a tensor, an array, a number or a list of them as an array; bfloat16 as float32."""
    if isinstance(x, list):
        return np.array([make_np(v) for v in x])
    if isinstance(x, Tensor):
        x = x.detach()  # type: ignore[attr-defined]
        return (x.float() if x.dtype.name == "bfloat16" else x).numpy()
    if isinstance(x, np.ndarray):
        return x
    if np.isscalar(x):
        return np.array([x])
    raise NotImplementedError(f"Got {type(x)}, but numpy array or torch tensor are expected.")


def _of_plugin(name: str, content: Any = None) -> SummaryMetadata:
    data = b"" if content is None else content.SerializeToString()
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=data))


def _shape(shape: Sequence[int]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in shape])


def _one(**value: Any) -> Summary:
    return Summary(value=[Summary.Value(**value)])


def scalar(name: str, value: Any, new_style: bool = False, double_precision: bool = False) -> Summary:
    """Return the summary of a number.

    Raises
    ------
    AssertionError
        If there is not one element.
    """
    array = make_np(value).squeeze()
    if array.ndim:
        raise AssertionError(
            f"Tensor should contain one element (0 dimensions). Was given size: {array.size} and {array.ndim} dimensions."
        )
    number = float(array)
    if not new_style:
        return _one(tag=name, simple_value=number)
    field, kind = ("double_val", "DT_DOUBLE") if double_precision else ("float_val", "DT_FLOAT")
    return _one(tag=name, tensor=TensorProto(**{field: [number], "dtype": kind}), metadata=_of_plugin("scalars"))


# -- histograms --------------------------------------------------------------------------------------------------------


def histogram_raw(
    name: str, min: float, max: float, num: int, sum: float, sum_squares: float, bucket_limits: Any, bucket_counts: Any
) -> Summary:
    """Return the summary of a histogram that has been counted."""
    counted = HistogramProto(
        min=min, max=max, num=num, sum=sum, sum_squares=sum_squares, bucket_limit=bucket_limits, bucket=bucket_counts
    )
    return _one(tag=name, histo=counted)


def histogram(name: str, values: Any, bins: Any, max_bins: int | None = None) -> Summary:
    """Return the summary of the histogram of values.

    Raises
    ------
    ValueError
        If there are none.
    """
    array = make_np(values).astype(float).reshape(-1)
    if not array.size:
        raise ValueError("The input has no element.")
    counts, limits = np.histogram(array, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        step = len(counts) // max_bins
        starts = np.arange(0, len(counts), step)
        counts, limits = np.add.reduceat(counts, starts), np.append(limits[starts], limits[-1])
    full = np.flatnonzero(counts)
    if not full.size:
        raise ValueError("The histogram is empty, please file a bug report.")
    # TensorBoard wants an empty bucket before the first that has something, whose lower limit would be lost.
    first, last = int(full[0]), int(full[-1])
    kept = counts[first - 1 : last + 1] if first else np.concatenate([[0], counts[: last + 1]])
    edges = limits[first : last + 2]
    return histogram_raw(
        name, array.min(), array.max(), len(array), array.sum(), array.dot(array), edges.tolist(), kept.tolist()
    )


# -- texts, curves, layouts --------------------------------------------------------------------------------------------


def text(tag: str, string: str) -> Summary:
    """Return the summary of a text, which TensorBoard reads as Markdown."""
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

    tensor = TensorProto(dtype="DT_STRING", string_val=[string.encode()], tensor_shape=_shape([1]))
    return _one(tag=f"{tag}/text_summary", metadata=_of_plugin("text", TextPluginData(version=0)), tensor=tensor)


def pr_curve_raw(tag: str, counts: Sequence[Any], num_thresholds: int = _MOST_THRESHOLDS) -> Summary:
    """Return the summary of a curve: true and false positives, true and false negatives, precision and recall."""
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

    data = np.stack([make_np(c).reshape(-1) for c in counts])
    about = PrCurvePluginData(version=0, num_thresholds=min(num_thresholds, _MOST_THRESHOLDS))
    tensor = TensorProto(dtype="DT_FLOAT", float_val=data.reshape(-1).tolist(), tensor_shape=_shape(data.shape))
    return _one(tag=tag, metadata=_of_plugin("pr_curves", about), tensor=tensor)


def pr_curve(tag: str, labels: Any, predictions: Any, num_thresholds: int = _MOST_THRESHOLDS, weights: Any = None) -> Summary:
    """Return the summary of the precision and recall of predicted probabilities, at each threshold."""
    n = min(num_thresholds, _MOST_THRESHOLDS)
    truth, weight = make_np(labels).astype(np.float64), 1.0 if weights is None else make_np(weights)
    places = np.int32(np.floor(make_np(predictions) * (n - 1)))

    def counted(chosen: Any) -> np.ndarray:
        return np.cumsum(np.histogram(places, bins=n, range=(0, n - 1), weights=chosen * weight)[0][::-1])[::-1]

    hits, misses = counted(truth), counted(1.0 - truth)
    absent, lost = misses[0] - misses, hits[0] - hits
    precision, recall = hits / np.maximum(1e-7, hits + misses), hits / np.maximum(1e-7, hits + lost)
    return pr_curve_raw(tag, (hits, misses, absent, lost, precision, recall), n)


def custom_scalars(layout: dict) -> Summary:
    """Return the summary of a layout: of categories, by their titles, the charts, by theirs: a kind and tags."""
    from tensorboard.plugins.custom_scalar import layout_pb2

    categories = []
    for category, charts in layout.items():
        made = []
        for title, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError("len(tags) != 3")
                series = layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
                made.append(layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series])))
            else:
                made.append(layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags)))
        categories.append(layout_pb2.Category(title=category, chart=made))
    whole = layout_pb2.Layout(category=categories).SerializeToString()
    tensor = TensorProto(dtype="DT_STRING", string_val=[whole], tensor_shape=TensorShapeProto())
    return _one(tag="custom_scalars__config__", tensor=tensor, metadata=_of_plugin("custom_scalars"))


# -- hyperparameters ---------------------------------------------------------------------------------------------------


def hparams(
    hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: dict[str, list] | None = None
) -> tuple[Summary, Summary, Summary]:
    """Return the summaries of an experiment, and of the start and end of its session.

    Raises
    ------
    TypeError
        If a domain is none of its hyperparameter.
    ValueError
        For a hyperparameter that is no number, text, bool or tensor.
    """
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    domains = hparam_domain_discrete or {}
    if not isinstance(domains, dict):
        raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
    for k, values in domains.items():
        if k not in hparam_dict or not isinstance(values, list) or not all(isinstance(d, type(hparam_dict[k])) for d in values):
            raise TypeError(f"parameter: hparam_domain_discrete[{k}] should be a list of same type as hparam_dict[{k}].")
    start, infos = plugin_data_pb2.SessionStartInfo(), []
    for k, v in hparam_dict.items():
        if v is None:
            continue
        field, kind, value = _hparam(v)
        setattr(start.hparams[k], field, value)
        domain: Any = None
        if k in domains:
            domain = struct_pb2.ListValue(values=[struct_pb2.Value(**{field: d}) for d in domains[k]])
        infos.append(api_pb2.HParamInfo(name=k, type=api_pb2.DataType.Value(kind), domain_discrete=domain))
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=k)) for k in metric_dict]
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))

    def summary(tag: str, **content: Any) -> Summary:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        return _one(tag=tag, metadata=_of_plugin(metadata.PLUGIN_NAME, data))

    return (
        summary(metadata.EXPERIMENT_TAG, experiment=api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)),
        summary(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        summary(metadata.SESSION_END_INFO_TAG, session_end_info=end),
    )


def _hparam(value: Any) -> tuple[str, str, Any]:
    """Return the field, the kind and the value that a hyperparameter is written as."""
    if isinstance(value, bool):
        return "bool_value", "DATA_TYPE_BOOL", value
    if isinstance(value, (int, float)):
        return "number_value", "DATA_TYPE_FLOAT64", value
    if isinstance(value, str):
        return "string_value", "DATA_TYPE_STRING", value
    if isinstance(value, Tensor):
        return "number_value", "DATA_TYPE_FLOAT64", make_np(value).reshape(-1)[0]
    raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")


# -- tensors, meshes ---------------------------------------------------------------------------------------------------

_FIELDS = {
    "float16": ("DT_HALF", "half_val"), "bfloat16": ("DT_BFLOAT16", "half_val"), "float32": ("DT_FLOAT", "float_val"),
    "float64": ("DT_DOUBLE", "double_val"), "int8": ("DT_INT8", "int_val"), "int16": ("DT_INT16", "int_val"),
    "int32": ("DT_INT32", "int_val"), "int64": ("DT_INT64", "int64_val"), "uint8": ("DT_UINT8", "int_val"),
    "complex64": ("DT_COMPLEX64", "scomplex_val"), "complex128": ("DT_COMPLEX128", "dcomplex_val"),
    "bool": ("DT_BOOL", "bool_val"),
}  # fmt: skip


def tensor_proto(tag: str, tensor: Any) -> Summary:
    """Return the summary of a tensor, element by element.

    Raises
    ------
    ValueError
        For one of 2 GiB or more, and for a dtype that TensorBoard has no name for.
    """
    if tensor.numel() * tensor.itemsize >= 1 << 31:
        raise ValueError("tensor is bigger than protocol buffer's hard limit of 2GB in size")
    if tensor.dtype.name not in _FIELDS:
        raise ValueError(f"{tag} has unsupported tensor dtype {tensor.dtype}")
    kind, field = _FIELDS[tensor.dtype.name]
    values = tensor.detach().cpu().numpy().reshape(-1)
    if field == "half_val":  # the bits, as TensorFlow reads them
        values = values.view(np.uint16)
    elif values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    made = TensorProto(**{"dtype": kind, "tensor_shape": _shape(tensor.shape), field: values.tolist()})
    return _one(tag=tag, metadata=_of_plugin("tensor"), tensor=made)


def mesh(tag: str, vertices: Any, colors: Any = None, faces: Any = None, config_dict: dict | None = None) -> Summary:
    """Return the summary of a mesh: vertices, colours and faces, of shape (batch, number, 3) each."""
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    config = "{}" if config_dict is None else json.dumps(config_dict, sort_keys=True)
    parts = [(vertices, MeshPluginData.VERTEX), (faces, MeshPluginData.FACE), (colors, MeshPluginData.COLOR)]
    parts = [(make_np(part), kind) for part, kind in parts if part is not None]
    components = metadata.get_components_bitmask([kind for _, kind in parts])
    values = []
    for part, kind in parts:
        about = metadata.create_summary_metadata(tag, None, kind, components, part.shape, None, json_config=config)
        tensor = TensorProto(dtype="DT_FLOAT", float_val=part.reshape(-1).tolist(), tensor_shape=_shape(part.shape))
        values.append(Summary.Value(tag=metadata.get_instance_name(tag, kind), tensor=tensor, metadata=about))
    return Summary(value=values)

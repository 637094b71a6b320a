"""What is logged is read back by TensorBoard, and is what PyTorch logs."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore")  # tensorboard's own, of the packages that it is made of


def reader(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("scalars", "histograms", "images", "tensors", "audio"), 0)
    )
    return found.Reload()


@pytest.fixture
def writer(tmp_path):
    pytest.importorskip("tensorboard")
    from chainrule.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "run") as made:
        yield made


def test_numbers_are_read_back(writer):
    for step in range(5):
        writer.add_scalar("loss", cr.tensor(1.0 / (step + 1), requires_grad=True), step, walltime=100.0 + step)
    writer.add_scalar("exact", 0.1, new_style=True, double_precision=True)
    writer.add_scalars("both", {"a": 1, "b": np.float64(2)}, 3)
    writer.flush()
    seen = reader(writer.log_dir)
    assert [(e.step, e.wall_time, e.value) for e in seen.Scalars("loss")] == [
        (k, 100.0 + k, np.float32(1 / (k + 1))) for k in range(5)
    ]
    assert seen.Tensors("exact")[0].tensor_proto.double_val == [0.1]
    assert [reader(f"{writer.log_dir}/both_{name}").Scalars("both")[0].value for name in "ab"] == [1, 2]
    with pytest.raises(AssertionError, match="Tensor should contain one element"):
        writer.add_scalar("loss", cr.ones(2))


def test_histograms_are_read_back(writer):
    values = cr.tensor([0.5, -1.0, 2.0, 0.0, 0.5])
    writer.add_histogram("w", values, 1)
    writer.add_histogram("bins", values.bfloat16(), bins=4)
    writer.add_histogram_raw("raw", 0, 1, 2, 1.5, 1.25, [0.5, 1.0], [1, 1])
    writer.flush()
    seen = reader(writer.log_dir)
    w = seen.Histograms("w")[0].histogram_value
    assert (w.min, w.max, w.num, w.sum, w.sum_squares, sum(w.bucket)) == (-1, 2, 5, 2, 5.5, 5)
    assert len(w.bucket) == len(w.bucket_limit)
    assert seen.Histograms("bins")[0].histogram_value.bucket == [0, 1, 1, 2, 1]
    assert seen.Histograms("raw")[0].histogram_value.bucket == [1, 1]
    with pytest.raises(ValueError, match="The input has no element"):
        writer.add_histogram("none", cr.zeros(0))
    with pytest.raises(ValueError, match="bucket_limits"):
        writer.add_histogram_raw("raw", 0, 1, 2, 1, 1, [1], [1, 1])


def size_of(event):
    return struct.unpack(">II", event.encoded_image_string[16:24])


def test_pictures_and_sounds_are_read_back(writer):
    writer.add_image("one", cr.rand(3, 4, 5))
    writer.add_image("grey", np.zeros((4, 5), np.uint8), dataformats="HW")
    writer.add_images("many", cr.rand(10, 1, 4, 5))
    writer.add_image_with_boxes("boxes", cr.rand(3, 40, 50), cr.tensor([[1, 2, 30, 20]]), labels="cat", rescale=2)
    writer.add_video("film", cr.rand(3, 2, 3, 4, 5))
    writer.add_audio("sound", cr.linspace(-2, 2, 100), sample_rate=8000)
    writer.flush()
    seen = reader(writer.log_dir)
    sizes = {name: size_of(seen.Images(name)[0]) for name in ("one", "grey", "many", "boxes")}
    assert sizes == {"one": (5, 4), "grey": (5, 4), "many": (40, 8), "boxes": (100, 80)}
    film = seen.Images("film")[0]
    assert (film.encoded_image_string[:3], film.height, film.width) == (b"GIF", 8, 10)
    sound = seen.Audio("sound")[0]
    assert (sound.sample_rate, sound.length_frames, sound.encoded_audio_string[:4]) == (8000, 100, b"RIFF")
    for values, layout, words in [
        (cr.rand(3, 4), "CHW", "size of input tensor and input format are different"),
        (cr.rand(3, 4), "HH", "You can not use the same dimension shorthand twice"),
    ]:
        with pytest.raises(AssertionError, match=words):
            writer.add_image("wrong", values, dataformats=layout)


def test_figures_are_read_back(writer):
    plt = pytest.importorskip("matplotlib.figure")
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    writer.add_figure("one", plt.Figure(figsize=(2, 1), dpi=50))
    writer.add_figure("two", [plt.Figure(figsize=(2, 1), dpi=50) for _ in range(2)])
    writer.flush()
    seen = reader(writer.log_dir)
    assert [size_of(seen.Images(name)[0]) for name in ("one", "two")] == [(100, 50), (200, 50)]


def logged(writer_class, summaries, lib, folder):
    """Write one of each, and return the summaries that were written, bytes of each."""
    with writer_class(folder) as writer:
        written = []
        writer._get_file_writer().add_summary = lambda made, *_: written.append(made.SerializeToString(deterministic=True))
        values = lib.arange(50.0) / 8 - 3
        writer.add_histogram("h", values)
        writer.add_histogram("h", values, bins=30, max_bins=7)
        writer.add_text("t", "a **b** ü")
        writer.add_pr_curve("p", lib.tensor([0, 1, 1, 0, 1]), lib.tensor([0.1, 0.9, 0.6, 0.5, 1.0]), num_thresholds=9)
        writer.add_pr_curve("p", np.array([0, 1]), np.array([0.25, 0.75]), weights=np.array([1.0, 3.0]))
        writer.add_pr_curve_raw("p", [1, 0], [1, 0], [0, 1], [0, 1], [0.5, 0.5], [1, 0], num_thresholds=2)
        writer.add_custom_scalars({"c": {"x": ["Multiline", ["a", "b"]], "y": ["Margin", ["a", "b", "c"]]}})
        writer.add_custom_scalars_multilinechart(["a"])
        writer.add_custom_scalars_marginchart(["a", "b", "c"])
        writer.add_mesh("m", lib.rand(1, 4, 3) * 0 + 1, lib.zeros(1, 4, 3), config_dict={"a": 1})
        for d in ("float32", "float64", "int32", "int64", "complex64", "bool"):
            writer.add_tensor("d", lib.ones(2, 2, dtype=getattr(lib, d)))
        written += [
            made.SerializeToString(deterministic=True)
            for made in summaries.hparams(
                {"lr": 0.1, "n": 2, "name": "x", "on": None, "t": lib.tensor([3.0])}, {"loss": 1.0}, {"n": [1, 2]}
            )
        ]
    return written


def test_what_is_written_is_what_pytorch_writes(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    import torch.utils.tensorboard.summary as their_summaries
    from torch.utils.tensorboard import SummaryWriter as Theirs

    from chainrule.utils.tensorboard import SummaryWriter, summary

    ours = logged(SummaryWriter, summary, cr, tmp_path / "ours")
    assert ours == logged(Theirs, their_summaries, torch, tmp_path / "theirs")


def test_hyperparameters_have_a_run_of_their_own(writer):
    writer.add_hparams({"lr": 0.1, "fast": True}, {"score": 0.5}, run_name="first")
    assert reader(f"{writer.log_dir}/first").Scalars("score")[0].value == 0.5
    for wrong, error in [
        (lambda: writer.add_hparams([], {}), TypeError),
        (lambda: writer.add_hparams({"a": 1}, {}, {"a": ["b"]}), TypeError),
        (lambda: writer.add_hparams({"a": {}}, {}), ValueError),
    ]:
        with pytest.raises(error):
            wrong()


def test_embeddings_are_tables_beside_the_events(writer):
    points = cr.arange(8.0).reshape(4, 2)
    writer.add_embedding(points, ["a", "b", "c", "d"], cr.rand(4, 3, 5, 6), global_step=7, tag="x/y")
    writer.add_embedding(points, [("a", 1)] * 4, metadata_header=["name", "n"])
    root = Path(writer.log_dir)
    assert (root / "00007/x%2fy/tensors.tsv").read_text() == "0.0\t1.0\n2.0\t3.0\n4.0\t5.0\n6.0\t7.0\n"
    assert (root / "00007/x%2fy/metadata.tsv").read_text() == "a\nb\nc\nd\n"
    assert (root / "00000/default/metadata.tsv").read_text().splitlines()[:2] == ["name\tn", "a\t1"]
    assert (root / "00007/x%2fy/sprite.png").read_bytes()[1:4] == b"PNG"
    config = (root / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2
    assert "single_image_dim: 6" in config
    with pytest.raises(AssertionError, match="#labels should equal"):
        writer.add_embedding(points, ["a"])


def test_a_closed_writer_opens_a_new_file(writer):
    writer.add_scalar("a", 1)
    writer.close()
    writer.close()
    writer.add_scalar("a", 2)
    writer.flush()
    assert len(list(Path(writer.log_dir).iterdir())) == 2


def test_what_is_not_here_says_so(writer):
    with pytest.raises(NotImplementedError, match="func.trace"):
        writer.add_graph(None)
    with pytest.raises(NotImplementedError, match="ONNX"):
        writer.add_onnx_graph("")


def test_without_the_package_the_import_names_it():
    code = """
import sys
sys.modules["tensorboard"] = None
try:
    from chainrule.utils.tensorboard import SummaryWriter
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (
        "chainrule.utils.tensorboard writes by the package tensorboard: pip install tensorboard", "",
    )  # fmt: skip

"""Writers of event files: a folder of them is what TensorBoard shows."""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from chainrule.utils.tensorboard import media, summary

__all__ = ["FileWriter", "SummaryWriter"]


class FileWriter:
    """Writes events to a file in a folder.

    Parameters
    ----------
    log_dir : str or path
        The folder, which is made if it is not there.
    max_queue, flush_secs : int
        Events are written when there are so many, or after so many seconds.
    filename_suffix : str
        What the file's name ends in.
    """

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = "") -> None:
        self.event_writer = EventFileWriter(str(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.event_writer.get_logdir()

    def add_event(self, event: Event, step: int | None = None, walltime: float | None = None) -> None:
        """Write an event of a step and a time in seconds, by default now."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)  # what an array of one element is, too
        self.event_writer.add_event(event)

    def add_summary(self, summary: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Write a summary."""
        self.add_event(Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        """Write what is waiting."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write what is waiting, and close the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Open a new file in the folder."""
        self.event_writer.reopen()


class SummaryWriter:
    """Writes what a training logs to a folder, for TensorBoard to show. A context manager, which closes it.

    Each method takes the tag it is shown under, the values, the step, and the time in seconds, by default now.

    Parameters
    ----------
    log_dir : str or path, optional
        The folder; by default one in ``runs`` of the date, the machine's name and `comment`.
    comment : str
        See `log_dir`.
    purge_step : int, optional
        Steps from this one on, of a run that is taken up again, are hidden.
    max_queue, flush_secs, filename_suffix
        As :class:`FileWriter`'s.

    Examples
    --------
    >>> from chainrule.utils.tensorboard import SummaryWriter  # doctest: +SKIP
    >>> with SummaryWriter("runs/first") as writer:  # doctest: +SKIP
    ...     for step in range(10):
    ...         writer.add_scalar("loss", 1 / (step + 1), step)
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            log_dir = os.path.join("runs", f"{datetime.now().strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir, self.purge_step, self.max_queue = log_dir, purge_step, max_queue
        self.flush_secs, self.filename_suffix = flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] | None = None
        self._projector = ProjectorConfig()
        self._get_file_writer()
        sizes = [1e-12]
        while sizes[-1] * 1.1 < 1e20:
            sizes.append(sizes[-1] * 1.1)
        self.default_bins = [*(-s for s in reversed(sizes)), 0, *sizes]

    def _writer_at(self, log_dir: Any) -> FileWriter:
        return FileWriter(log_dir, self.max_queue, self.flush_secs, self.filename_suffix)

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None or self.all_writers is None:
            self.file_writer = self._writer_at(self.log_dir)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                self.file_writer.add_event(Event(step=self.purge_step, file_version="brain.Event:2"))
                begun = SessionLog(status=SessionLog.START)
                self.file_writer.add_event(Event(step=self.purge_step, session_log=begun))
                self.purge_step = None
        return self.file_writer

    def _add(self, made: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        self._get_file_writer().add_summary(made, global_step, walltime)

    def get_logdir(self) -> Any:
        """Return the folder."""
        return self.log_dir

    # -- numbers -------------------------------------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Log a number."""
        self._add(summary.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log numbers that are shown in one chart: each in a folder of its own, under its name."""
        walltime = time.time() if walltime is None else walltime
        folder = self._get_file_writer().get_logdir()
        writers: Any = self.all_writers
        for tag, value in tag_scalar_dict.items():
            place = f"{folder}/{main_tag.replace('/', '_')}_{tag}"
            if place not in writers:
                writers[place] = self._writer_at(place)
            writers[place].add_summary(summary.scalar(main_tag, value), global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Log a tensor, element by element."""
        self._add(summary.tensor_proto(tag, tensor), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Log hyperparameters and what they led to, in a folder of the run's own."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        made = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        place = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(place) as writer:
            for part in made:
                writer._add(part, global_step)
            for name, value in metric_dict.items():
                writer.add_scalar(name, value, global_step)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Log the histogram of values, in TensorBoard's own bins or NumPy's of a name or number."""
        bins = self.default_bins if isinstance(bins, str) and bins == "tensorflow" else bins
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a histogram that has been counted."""
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        made = summary.histogram_raw(tag, min, max, num, sum, sum_squares, bucket_limits, bucket_counts)
        self._add(made, global_step, walltime)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Log precision and recall of predicted probabilities of binary labels."""
        self._add(summary.pr_curve(tag, labels, predictions, num_thresholds, weights), global_step, walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Log precision and recall that have been counted; `weights` are in the counts."""
        counts = (true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts, precision, recall)
        self._add(summary.pr_curve_raw(tag, counts, num_thresholds), global_step, walltime)

    # -- pictures, sounds, texts ---------------------------------------------------------------------------------------

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Log a picture, of bytes or of floats from 0 to 1."""
        self._add(media.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Log pictures, side by side."""
        self._add(media.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """Log a picture with boxes, each of (left, top, right, bottom)."""
        labels = [labels] if isinstance(labels, str) else labels
        if labels is not None and len(labels) != box_tensor.shape[0]:
            labels = None
        made = media.image_boxes(tag, img_tensor, box_tensor, rescale, dataformats, labels)
        self._add(made, global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: int | None = None, close: bool = True, walltime: float | None = None
    ) -> None:
        """Log a figure of matplotlib, or a list of them; they are closed."""
        pixels = media.figure_to_image(figure, close)
        self.add_image(tag, pixels, global_step, walltime, "NCHW" if isinstance(figure, list) else "CHW")

    def add_video(
        self, tag: str, vid_tensor: Any, global_step: int | None = None, fps: float = 4, walltime: float | None = None
    ) -> None:
        """Log videos, of shape (N, T, C, H, W), as a GIF."""
        self._add(media.video(tag, vid_tensor, fps), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Log a sound, of values from -1 to 1."""
        self._add(media.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None) -> None:
        """Log a text."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    # -- layouts, meshes, embeddings -----------------------------------------------------------------------------------

    def add_custom_scalars(self, layout: dict) -> None:
        """Log which numbers are shown together: ``{category: {title: ["Multiline" or "Margin", tags]}}``."""
        self._add(summary.custom_scalars(layout))

    def add_custom_scalars_multilinechart(self, tags: list, category: str = "default", title: str = "untitled") -> None:
        """Log that numbers are shown in one chart."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags: list, category: str = "default", title: str = "untitled") -> None:
        """Log that a number is shown with its bounds: three tags."""
        if len(tags) != 3:
            raise AssertionError(f"Expected 3 tags, got {len(tags)}.")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: dict | None = None,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a mesh or a cloud of points, each part of shape (batch, number, 3)."""
        self._add(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    def add_embedding(
        self,
        mat: Any,
        metadata: list | None = None,
        label_img: Any = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: list | None = None,
    ) -> None:
        """Log points of many dimensions, of shape (N, D), with what they are called and pictures of them."""
        points = summary.make_np(mat)
        if points.ndim != 2:
            raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
        if metadata is not None and len(metadata) != len(points):
            raise AssertionError("#labels should equal with #data points")
        if label_img is not None and label_img.shape[0] != len(points):
            raise AssertionError("#images should equal with #data points")
        step = str(global_step or 0).zfill(5)
        encoded = tag.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
        root = Path(self._get_file_writer().get_logdir())
        folder = root / step / encoded
        folder.mkdir(parents=True, exist_ok=True)
        info = self._projector.embeddings.add()
        info.tensor_name, info.tensor_path = f"{tag}:{step}", f"{step}/{encoded}/tensors.tsv"
        _write_table(folder / "tensors.tsv", points.tolist())
        if metadata is not None:
            if metadata_header and len(metadata_header) != len(metadata[0]):
                raise AssertionError("len of header must be equal to the number of columns in metadata")
            _write_table(folder / "metadata.tsv", [metadata_header, *metadata] if metadata_header else [[m] for m in metadata])
            info.metadata_path = f"{step}/{encoded}/metadata.tsv"
        if label_img is not None:
            pictures = summary.make_np(label_img)
            _write_sprite(folder / "sprite.png", pictures)
            info.sprite.image_path = f"{step}/{encoded}/sprite.png"
            info.sprite.single_image_dim.extend([pictures.shape[3], pictures.shape[2]])
        from google.protobuf import text_format

        (root / "projector_config.pbtxt").write_text(text_format.MessageToString(self._projector), "utf-8")

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> NoReturn:
        """Raise: the graph that PyTorch logs is TorchScript's.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "SummaryWriter.add_graph: chainrule has no TorchScript; func.trace(model)(input) prints the operations of a model, "
            "and add_text logs what is printed"
        )

    def add_onnx_graph(self, prototxt: Any) -> NoReturn:
        """Raise: ONNX is not read here.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("SummaryWriter.add_onnx_graph: chainrule reads no ONNX")

    # -- files ---------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what is waiting."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write what is waiting, and close the files; logging more opens a new one."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _write_table(path: Path, rows: list) -> None:
    path.write_text("".join(["\t".join([str(cell) for cell in row]) + "\n" for row in rows]), "utf-8")


def _write_sprite(path: Path, pictures: np.ndarray) -> None:
    """Write pictures as one square, which TensorBoard cuts up again."""
    from PIL import Image

    grid = media.make_grid(pictures, columns=int(np.ceil(len(pictures) ** 0.5))).transpose(1, 2, 0)
    square = np.zeros((grid.shape[1], grid.shape[1], 3))
    square[: len(grid)] = grid
    Image.fromarray((square * 255).clip(0, 255).astype(np.uint8)).save(path)

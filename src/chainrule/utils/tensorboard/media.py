"""Pictures and sounds as TensorBoard's protocol buffers."""

from __future__ import annotations

import io
import math
import wave
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary

from chainrule.utils.tensorboard.summary import make_np

__all__ = ["audio", "figure_to_image", "image", "image_boxes", "make_grid", "video"]


def make_grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """Return pictures, of shape (N, 1 or 3, H, W), side by side in one of shape (3, rows * H, columns * W).

    Raises
    ------
    AssertionError
        If they have another shape.
    """
    if images.ndim == 4 and images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    if images.ndim != 4 or images.shape[1] != 3:
        raise AssertionError("Input should be a 4D numpy array with 3 channels")
    n, _, height, width = images.shape
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    canvas = np.zeros((rows * columns, 3, height, width), images.dtype)
    canvas[:n] = images
    return canvas.reshape(rows, columns, 3, height, width).transpose(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)


def _pixels(values: Any, dataformats: str) -> np.ndarray:
    """Return a picture, or several in a grid, as bytes of shape (height, width, channels); floats are of 0 to 1."""
    array, axes = make_np(values), dataformats.upper()
    if len(set(axes)) != len(axes):
        raise AssertionError(f"You can not use the same dimension shorthand twice. input_format: {dataformats}")
    if array.ndim != len(axes):
        raise AssertionError(
            f"size of input tensor and input format are different. tensor shape: {array.shape}, input_format: {dataformats}"
        )
    if len(axes) == 4:
        array = make_grid(array.transpose([axes.find(c) for c in "NCHW"])).transpose(1, 2, 0)
    elif len(axes) == 3:
        array = array.transpose([axes.find(c) for c in "HWC"])
    else:
        array = array.transpose([axes.find(c) for c in "HW"])[..., None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    scale = 1 if array.dtype == np.uint8 else 255
    return (array.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)


def _encoded(pixels: np.ndarray, rescale: float = 1, boxes: Any = None, labels: Any = None) -> Summary.Image:
    from PIL import Image

    height, width, channels = pixels.shape
    height, width = int(height * rescale), int(width * rescale)
    picture = Image.fromarray(pixels)
    if boxes is not None:
        _draw_boxes(picture, boxes, labels)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())


def _draw_boxes(picture: Any, boxes: np.ndarray, labels: Any) -> None:
    from PIL import ImageDraw, ImageFont

    draw, font = ImageDraw.Draw(picture), ImageFont.load_default()
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        draw.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], width=2, fill="Red")
        if labels is not None:
            x0, y0, x1, y1 = font.getbbox(labels[i])
            margin = math.ceil(0.05 * (y1 - y0))
            draw.rectangle([(left, bottom - (y1 - y0) - 2 * margin), (left + x1 - x0, bottom)], fill="Red")
            draw.text((left + margin, bottom - (y1 - y0) - margin), labels[i], fill="black", font=font)


def image(tag: str, values: Any, dataformats: str = "NCHW") -> Summary:
    """Return the summary of a picture, or of several in a grid."""
    return Summary(value=[Summary.Value(tag=tag, image=_encoded(_pixels(values, dataformats)))])


def image_boxes(tag: str, values: Any, boxes: Any, rescale: float = 1, dataformats: str = "CHW", labels: Any = None) -> Summary:
    """Return the summary of a picture with boxes, each of (left, top, right, bottom), and what they are called."""
    made = _encoded(_pixels(values, dataformats), rescale, make_np(boxes), labels)
    return Summary(value=[Summary.Value(tag=tag, image=made)])


def figure_to_image(figures: Any, close: bool = True) -> np.ndarray:
    """Return a figure of matplotlib, or a list of them, as bytes of shape (3, H, W), or (N, 3, H, W)."""
    if isinstance(figures, list):
        return np.stack([figure_to_image(figure, close) for figure in figures])
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figures)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].transpose(2, 0, 1).copy()
    if close:
        plt.close(figures)
    return pixels


def audio(tag: str, values: Any, sample_rate: int = 44100) -> Summary:
    """Return the summary of a sound, of values from -1 to 1.

    Raises
    ------
    AssertionError
        If it has more than one channel.
    """
    sound = make_np(values).squeeze()
    if sound.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    sound = (sound.clip(-1, 1) * np.iinfo(np.int16).max).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(sound.tobytes())
    made = Summary.Audio(
        sample_rate=sample_rate,
        num_channels=1,
        length_frames=len(sound),
        encoded_audio_string=buffer.getvalue(),
        content_type="audio/wav",
    )
    return Summary(value=[Summary.Value(tag=tag, audio=made)])


def video(tag: str, values: Any, fps: float = 4) -> Summary:
    """Return the summary of videos, of shape (N, T, C, H, W) and side by side, as a GIF."""
    from PIL import Image

    clips = make_np(values)
    scale = 1 if clips.dtype == np.uint8 else 255
    clips = (clips.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)
    columns = 1 << math.ceil(math.log2(max(clips.shape[0], 1)) / 2)
    frames = [make_grid(clips[:, t], columns).transpose(1, 2, 0) for t in range(clips.shape[1])]
    buffer = io.BytesIO()
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    height, width, channels = frames[0].shape
    made = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=made)])

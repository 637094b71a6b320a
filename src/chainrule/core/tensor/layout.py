"""How a tensor lies in memory: shape, element type, strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.state import modes
from chainrule.core.tensor.value import Value, innermost, memory_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.device import CPU, device
from chainrule.core.types.dtype import COMPLEX, FLOAT, dtype
from chainrule.core.types.layout import layout, strided
from chainrule.core.types.memory_format import lies_in
from chainrule.core.types.shape import Size, axis_index

ndarray = np.ndarray


class Layout(Value):
    """A tensor's shape and dtype, and where its elements lie."""

    __slots__ = ()

    @property
    def shape(self) -> Size:
        """Sizes of the axes."""
        return Size(self._memory.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._memory.ndim

    @property
    def dtype(self) -> dtype:
        """Element type."""
        found = self._memory.dtype
        return found if found.__class__ is dtype else dtypes.of(found)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    @property
    def device(self) -> device:
        """Where the values live: always the CPU."""
        return CPU

    @property
    def is_cpu(self) -> bool:
        """True: chainrule computes on the CPU."""
        return True

    @property
    def is_cuda(self) -> bool:
        """False, as whatever else asks for another device or layout: tensors are dense, and on the CPU."""
        return False

    is_sparse = is_sparse_csr = is_nested = is_quantized = is_mkldnn = is_cuda
    is_xpu = is_xla = is_ipu = is_mtia = is_maia = is_mps = is_vulkan = is_meta = is_cuda

    @property
    def layout(self) -> layout:
        """``chainrule.strided``: tensors are dense."""
        return strided

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one axis."""
        if dim is None:
            return self.shape
        if not self.ndim:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        return self._memory.shape[axis_index(dim, self.ndim)]

    def dim(self) -> int:
        """Return the number of axes."""
        return self._memory.ndim

    ndimension = dim

    def numel(self) -> int:
        """Return the number of elements."""
        return Size(self._memory.shape).numel()

    nelement = numel

    def element_size(self) -> int:
        """Return the bytes of one element."""
        return self.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Return the step in elements along each axis, or along one."""
        if isinstance(self._memory, Layout):
            return self._memory.stride(dim)
        data = self._memory
        steps = tuple(s // data.itemsize for s in data.strides)
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Return the elements between the start of the memory and this tensor's first element."""
        if isinstance(self._data, Value):
            return self._data.storage_offset()  # type: ignore[attr-defined]
        recorder = None if self._level else modes().compiling
        data = recorder.place(self) if recorder is not None else innermost(self) if not self._bit else self._memory
        root = data
        while isinstance(root.base, ndarray):
            root = root.base
        start = data.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return start // data.itemsize

    def _check_strided(self, size: tuple, stride: tuple, offset: int) -> None:
        """Raise if `as_strided` of these arguments would show what is not this tensor's."""

    def _strided(self, as_strided: Callable, size: tuple, stride: tuple, offset: int) -> Any:
        """Return what `as_strided` shows of a tensor that has gaps, and is no view of one without."""
        raise RuntimeError("as_strided(): the tensor's memory has gaps; call contiguous() first")

    def data_ptr(self) -> int:
        """Return the address of the first element."""
        return memory_of(self).__array_interface__["data"][0]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Tell whether the elements lie in C order without gaps."""
        if memory_format is not None and memory_format.order is not None:
            if len(memory_format.order) != self.ndim:
                return False
            return lies_in(tuple(self.shape), self.stride(), memory_format.order)
        data = self._memory
        if isinstance(data, Layout):
            return data.is_contiguous(memory_format)
        return data.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Tell whether the dtype is real floating point."""
        return self.dtype.category == FLOAT

    def is_complex(self) -> bool:
        """Tell whether the dtype is complex."""
        return self.dtype.category == COMPLEX

    def is_signed(self) -> bool:
        """Tell whether the dtype has negative values."""
        return self.dtype.is_signed

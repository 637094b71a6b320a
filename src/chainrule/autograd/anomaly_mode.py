"""PyTorch's anomaly mode: a NaN in a backward pass raises, and says which line of the forward pass led to it."""

from __future__ import annotations

import warnings

from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.transforms.anomaly import Detector, ForwardCheck

__all__ = ["detect_anomaly", "set_anomaly_enabled", "set_detect_anomaly"]


def _set(detector: Detector | None) -> None:
    others = tuple([w for w in modes().watchers if not isinstance(w, ForwardCheck)])
    own = () if detector is None or not detector.check_forward else (ForwardCheck(detector),)
    switch(anomaly=detector, watchers=(*others, *own))


class set_detect_anomaly:  # noqa: N801 - PyTorch's public name
    """Set anomaly mode at once; as a context manager, set it back at the end. Of this thread.

    Parameters
    ----------
    mode : bool
        On or off.
    check_nan, check_inf, check_forward, explain : bool
        As for :class:`detect_anomaly`.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.autograd.set_detect_anomaly(True, check_nan=False):
    ...     cr.is_anomaly_enabled(), cr.is_anomaly_check_nan_enabled()
    (True, False)
    """

    def __init__(
        self,
        mode: bool,
        check_nan: bool = True,
        *,
        check_inf: bool = False,
        check_forward: bool = False,
        explain: bool = True,
    ) -> None:
        self._before = modes()
        _set(Detector(check_nan, check_inf, check_forward, explain) if mode else None)
        self._entered = modes()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        back(self._entered, self._before, "anomaly", "watchers")


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - PyTorch's public name
    """Find what makes NaNs: operations remember where they were called, and a NaN in a backward pass raises.

    A context manager, of this thread, for debugging: recording takes several times as long. An error in a backward pass, of
    any kind, comes with a warning that shows where in the forward pass the failing operation was called; for second
    derivatives, also where the operations were called whose derivatives they are.

    Parameters
    ----------
    check_nan : bool
        Raise when an operation's derivative yields NaN.
    check_inf : bool
        Raise for infinities too; PyTorch has no such option, nor the next two.
    check_forward : bool
        Raise at the first result of the forward pass that holds NaN (infinities with `check_inf`): the message names the
        operation, the element, the inputs there and the line.
    explain : bool
        Have errors of the backward pass carry a note: which element, of which values the NaN was made (such as
        ``0.0 * inf``), and which later operation masked the element. Keeps the pass's gradients until it ends.

    Raises
    ------
    RuntimeError
        In a backward pass: "Function 'SqrtBackward0' returned nan values in its 0th output."

    Examples
    --------
    >>> import warnings
    >>> import chainrule as cr
    >>> x = cr.tensor([0.0, 4.0], requires_grad=True)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     try:
    ...         with cr.autograd.detect_anomaly():
    ...             cr.where(x > 0, x.sqrt(), x).sum().backward()
    ...     except RuntimeError as error:
    ...         print(error)
    ...         print(error.__notes__[0].splitlines()[1])
    Function 'SqrtBackward0' returned nan values in its 0th output.
    masked: the gradient that came is 0.0 and the derivative of sqrt at the result 0.0 is inf: 0.0 * inf = nan. That 0 was ...
    """

    def __init__(
        self, check_nan: bool = True, *, check_inf: bool = False, check_forward: bool = False, explain: bool = True
    ) -> None:
        self._detector = Detector(check_nan, check_inf, check_forward, explain)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = modes()
        _set(self._detector)
        self._entered = modes()


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Set anomaly mode, of this thread, until it is set again.

    Parameters
    ----------
    enabled : bool
        On or off.
    check_nan : bool
        Raise at a NaN in a backward pass.

    Raises
    ------
    TypeError
        If either is no bool.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_anomaly_enabled(True)
    >>> cr.is_anomaly_enabled()
    True
    >>> cr.set_anomaly_enabled(False)
    """
    for place, (name, value) in enumerate((("enabled", enabled), ("check_nan", check_nan)), 1):
        if not isinstance(value, bool):
            raise TypeError(
                f"set_anomaly_enabled(): argument '{name}' (position {place}) must be bool, not {type(value).__name__}"
            )
    _set(Detector(check_nan, False, False, True) if enabled else None)

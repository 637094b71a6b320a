"""Programs written for PyTorch, run with chainrule in its place; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.torch.version import TorchVersion


def run(text, *arguments, module=False, folder):
    (folder / "program.py").write_text(textwrap.dedent(text))
    program = ["-m", "program"] if module else [str(folder / "program.py")]
    command = [sys.executable, "-W", "error", "-m", "chainrule", "run", *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder if module else None)


TRAIN = """
    import sys
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    import torch.backends.cudnn as cudnn
    from torch import Tensor, optim
    from torch.autograd import Function, Variable
    from torch.nn import init
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.parameter import Parameter
    from torch.optim.lr_scheduler import StepLR
    from torch.utils.data import DataLoader, TensorDataset
    from torch.utils.data.dataset import Dataset

    cudnn.benchmark = True
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.head = nn.Linear(4 * 9, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))

    def weights(m):
        if isinstance(m, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)):
            init.kaiming_normal_(m.weight)

    x = torch.randn(64, 1, 8, 8)
    y = (x.mean((1, 2, 3)) > 0).long()
    net = torch.compile(torch.jit.script(Net().to(device).apply(weights)))
    optimizer = optim.AdamW(net.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 10)
    for epoch in range(int(sys.argv[1])):
        for a, b in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(a), b)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        schedule.step()
    torch.save(net.state_dict(), sys.argv[2])
    net.load_state_dict(torch.load(sys.argv[2]))
    print((net(x).argmax(1) == y).float().mean().item() > 0.8, loss.dtype, x.shape, x.type(), __name__, sys.argv[0][-10:])
"""


@pytest.mark.parametrize("module", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_program_trains_as_it_is(tmp_path, module):
    done = run(TRAIN, "20", str(tmp_path / "net.pt"), module=module, folder=tmp_path)
    assert not done.stderr
    shown = "True torch.float32 torch.Size([64, 1, 8, 8]) torch.FloatTensor __main__ program.py"
    assert done.stdout.strip() == shown
    assert (tmp_path / "net.pt").exists()


OVERRIDES = """
    import torch

    KEYS = {torch.matmul: "function", torch.Tensor.matmul: "method"}

    class Matrix:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return KEYS[func]

    print(torch.matmul(torch.ones(2, 2), Matrix()), torch.ones(2, 2) @ Matrix(), torch.ones(2, 2).matmul(Matrix()))
"""


@pytest.mark.parametrize("module", [False, True])
def test_overriding_functions_are_looked_for_from_the_start(tmp_path, module):
    assert run(OVERRIDES, folder=tmp_path, module=module).stdout == "function method method\n"


ASKED = """
    import torch, torch.distributed as dist, torch.multiprocessing as mp, torch.futures
    from torch.amp.autocast_mode import custom_fwd
    from torch.amp.grad_scaler import OptState
    from torch.cpu.amp import autocast
    from torch.cuda.amp import GradScaler, autocast
    from torch.utils._pytree import tree_map
    from torch.types import Device, Number
    from torch.jit import Final

    assert isinstance(torch.futures.Future(), torch.Future)
    assert torch.__name__ == "torch" and torch.utils.hooks.RemovableHandle and torch.utils.dlpack.to_dlpack
    assert torch.__version__ >= "2.0" and torch.__version__ < (3,) and torch.version.cuda is None
    assert not torch.cuda.is_available() and not torch.backends.mps.is_available() and not dist.is_available()
    assert not torch.jit.is_scripting() and not torch.compiler.is_compiling() and not torch.distributed.is_initialized()
    torch.cuda.manual_seed_all(0), torch.cuda.empty_cache()
    with torch.backends.cudnn.flags(enabled=False), torch.autocast("cpu", enabled=False):
        assert not torch.backends.cudnn.enabled
    assert torch.backends.cudnn.enabled
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.nn.Linear(2, 2)(torch.ones(1, 2))
    assert str(y.dtype) == "torch.bfloat16"

    @torch.jit.ignore
    def f(x):
        return x

    @torch.jit.ignore(drop=True)
    def g(x):
        return f(x)

    assert torch.jit.wait(torch.jit.fork(g, 3)) == 3
    assert tree_map(lambda x: x + 1, {"a": 1}) == {"a": 2}
    from torch.testing import assert_close, make_tensor
    assert_close(make_tensor(3, dtype=torch.float32, device="cpu", low=1, high=2) > 0, torch.ones(3) == 1)
    import chainrule
    assert torch.Tensor is chainrule.Tensor and torch.nn is chainrule.nn
    assert chainrule.nn.__spec__.name == "chainrule.nn" and chainrule.__version__ != torch.__version__
    for what, error, words in [
        (lambda: __import__("torch.testing._internal.common_utils"), ModuleNotFoundError, "has no counterpart of it"),
        (lambda: __import__("torch.foo"), ModuleNotFoundError, "No module named 'torch.foo'"),
        (lambda: torch.fx.symbolic_trace(f), NotImplementedError, "torch.fx.symbolic_trace: func.trace"),
        (lambda: torch.fx.GraphModule({}, None), NotImplementedError, "torch.fx.GraphModule: func.trace"),
        (lambda: torch.foo, AttributeError, "has no attribute 'foo'"),
        (lambda: torch.cuda.current_device(), AssertionError, "Torch not compiled with CUDA enabled"),
        (lambda: torch.hub.load("a", "b"), NotImplementedError, "fetches nothing"),
        (lambda: torch.distributed.init_process_group(), NotImplementedError, "runs in one process"),
        (lambda: torch.jit.load("a"), NotImplementedError, "TorchScript"),
    ]:
        try:
            what()
        except error as raised:
            assert words in str(raised), raised
        else:
            raise AssertionError(words)
    import torch.distributed.fsdp, torch.export, torch.onnx, torch.sparse
    from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
    from torch.fx import GraphModule, Tracer
    from torch._dynamo.eval_frame import OptimizedModule

    class Mine(Tracer):
        pass

    kinds = GraphModule, FullyShardedDataParallel, OptimizedModule, torch.jit.ScriptModule
    assert not isinstance(torch.nn.Linear(1, 1), kinds)
    assert ShardingStrategy["FULL_SHARD"].name == "FULL_SHARD" and not torch.onnx.is_in_onnx_export()
    assert not hasattr(torch.distributed, "no_such_name") and torch.distributed.fsdp.ShardingStrategy is ShardingStrategy
    from torch.jit.annotations import BroadcastingList2
    from torch.onnx.symbolic_helper import parse_args
    from torch.utils.model_zoo import load_url, tqdm

    from torch import PyTorchFileReader, ScriptModule
    from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

    assert PyTorchFileReader is torch._C.PyTorchFileReader and ScriptModule is torch.jit.ScriptModule
    epoch = iter(torch.utils.data.DataLoader([1, 2]))
    assert isinstance(epoch, _BaseDataLoaderIter) and not isinstance(epoch, _MultiProcessingDataLoaderIter)
    assert torch._C._nn._parse_to("cpu", torch.half)[:2] == (torch.device("cpu"), torch.half)
    from torch.fx.experimental.proxy_tensor import get_proxy_mode
    from torch.utils.flop_counter import FlopCounterMode

    found = []
    def asks(x):
        found.append((torch._C._are_functorch_transforms_active(), get_proxy_mode() is not None))
        return x.sin()
    asks(torch.ones(()))
    torch.func.grad(asks)(torch.ones(()))
    torch.func.vmap(asks)(torch.ones(2))
    torch.func.vmap(torch.func.grad(asks))(torch.ones(2))
    chainrule.func.trace(asks)(torch.ones(2))
    assert found == [(False, False), (True, False), (True, False), (True, False), (True, True)], found
    assert FlopCounterMode(display=False).get_total_flops() == 0
    Keys, key = torch._C.DispatchKeySet, torch._C.DispatchKey
    keys = Keys(key.AutocastCPU) | Keys(key.AutocastCUDA)
    with torch.autocast("cpu"), torch._C._ExcludeDispatchKeyGuard(keys):
        assert not torch.is_autocast_enabled("cpu")
    torch.onnx.register_custom_op_symbolic("mine::op", parse_args("v")(f), 11)
    torch.library.register_fake("compiled::op", f)
    assert list(tqdm([1, 2], disable=True)) == [1, 2] and torch.backends.cpu.get_cpu_capability() == "DEFAULT"
    assert torch.hub._get_torch_home() in torch.hub.get_dir() and issubclass(BroadcastingList2, list)
    import typing
    for cls in (torch.nn.LSTM, torch.Tensor, torch.optim.Adam, torch.utils.data.DataLoader, torch.autograd.Function):
        typing.get_type_hints(cls)
    print("right")
"""


@pytest.mark.slow
def test_what_programs_ask_for_beside_mathematics_has_an_answer(tmp_path):
    done = run(ASKED, folder=tmp_path)
    assert (done.stdout, done.stderr) == ("right\n", "")


NUMPY = """
    import numpy as np
    import torch
    from scipy import special

    t, recorded = torch.tensor([[3.0, 1.0], [2.0, 4.0]]), torch.ones(2, requires_grad=True)
    for array in (np.where(t > 1, t, 0), np.concatenate([t, t]), np.stack([t, t]), np.median(t, axis=0), np.unique(t)):
        assert type(array) is np.ndarray, type(array)
    for tensor in (np.exp(t), np.reshape(t, -1), np.transpose(t), np.sum(t), special.binom(t, 2), np.argsort(t)):
        assert type(tensor) is torch.Tensor, type(tensor)
    assert np.reshape(t > 1, -1).tolist() == [1, 0, 1, 1]  # as PyTorch's: bytes
    try:
        np.concatenate([recorded, recorded])
    except RuntimeError as error:
        print(error)
"""


def test_functions_of_numpy_take_tensors_as_arrays(tmp_path):
    done = run(NUMPY, folder=tmp_path)
    assert done.stdout == "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.\n", done.stderr


def test_errors_and_exit_codes_are_the_programs(tmp_path):
    done = run("import sys; sys.exit(7)", folder=tmp_path)
    assert done.returncode == 7
    done = run("1 / 0", folder=tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    done = subprocess.run([sys.executable, "-m", "chainrule", "run", "missing.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no file 'missing.py'" in done.stderr


def test_the_place_of_pytorch_is_not_taken_while_it_is_there(torch):
    with pytest.raises(RuntimeError, match="torch is imported already"):
        cr.as_torch()


@pytest.mark.parametrize(
    ("a", "b", "order"), [("2.13.0", "2.9", 1), ("2.13.0", "2.13", 0), ("2.13.0+cpu", (2, 13), 0), ("2.13.0", "2.13.1rc1", -1)]
)
def test_versions_are_ordered_as_versions(a, b, order):
    version = TorchVersion(a)
    assert ((version > b) - (version < b), version == b) == (order, order == 0)


def test_the_look_alike_has_chainrules_names():
    from chainrule import torch as alike

    assert {name for name in dir(cr) if name[0] != "_"} <= set(dir(alike))
    assert alike.sin is cr.sin
    assert cr.backends is alike.backends
    folder = Path(alike.__file__).parent
    own = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - {
        "__init__",
        "absent",
        "alias",
        "naming",
        "symbolic",
    }
    assert own == set(alike.OWN)


NAMED = """
    import importlib, io, pickle
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    shown = (
        torch.Tensor, torch.dtype, torch.device, torch.Size, torch.FloatTensor, torch.UntypedStorage, nn.Linear, nn.ReLU,
        nn.LSTM, nn.Conv2d, nn.MSELoss, nn.Parameter, nn.Embedding, nn.Flatten, torch.optim.SGD,
        torch.optim.lr_scheduler.StepLR, DataLoader, Dataset, torch.distributions.Normal,
        torch.distributions.AffineTransform, torch.autograd.Function,
    )
    for cls in shown:
        print(cls)
        if cls is not torch.UntypedStorage:  # which PyTorch names by another module than it is in
            assert getattr(importlib.import_module(cls.__module__), cls.__qualname__) is cls
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LSTM(3, 3))
    pickled = pickle.dumps(model)
    assert b"torch.nn.modules.rnn" in pickled and b"chainrule.nn" not in pickled
    print(type(model[1]), type(torch.ones(1)), pickle.loads(pickled))
    print(torch.distributions.kl_divergence(torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.0, 2.0)))

    class Asked(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            print(func.__name__, types)
            return super().__torch_function__(func, types, args, kwargs or {})

    print(type(Asked([1.0]) + 1))
"""


@pytest.mark.slow
def test_classes_name_pytorchs_modules(tmp_path):
    pytest.importorskip("torch")
    ours = run(NAMED, folder=tmp_path)
    theirs = subprocess.run([sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, timeout=120)
    assert not ours.stderr
    assert ours.stdout.replace("'torch.UntypedStorage'", "'torch.storage.UntypedStorage'") == theirs.stdout


SPAWNING = """
    import multiprocessing
    import sys
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return torch.tensor(float(i)) ** 2

    def work(queue, x):
        import torch.nn as nn
        queue.put((type(x).__module__, nn.Linear.__module__, str(x.dtype), x.sum().item(), "chainrule" in sys.modules))

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        queue = context.Queue()
        process = context.Process(target=work, args=(queue, torch.ones(3)))
        process.start()
        print(queue.get(timeout=60))
        process.join()
        print(process.exitcode)
        if len(sys.argv) > 2:
            loader = DataLoader(Squares(), batch_size=2, num_workers=2, multiprocessing_context=sys.argv[1])
            print([batch.tolist() for batch in loader])
            torch.multiprocessing.spawn(print, (torch.ones(1).dtype,), nprocs=1)
            with context.Pool(1) as pool:
                print(pool.apply(torch.add, (torch.ones(1), 1)).tolist())
"""


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_spawned_processes_have_chainrule_for_torch(tmp_path, method):
    done = run(SPAWNING, method, folder=tmp_path)
    assert done.stdout == "('torch', 'torch.nn.modules.linear', 'torch.float32', 3.0, True)\n0\n", done.stderr


@pytest.mark.slow
def test_workers_of_all_kinds_are_spawned(tmp_path):
    done = run(SPAWNING, "spawn", "all", folder=tmp_path)
    assert done.stdout.splitlines()[2:] == ["[[0.0, 1.0], [4.0, 9.0]]", "0 torch.float32", "[2.0]"], done.stderr

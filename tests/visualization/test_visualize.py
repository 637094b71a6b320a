"""What ``visualize`` writes, read back from the file: the graph, its values, gradients, lines and names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.autograd.graph import noting


def written(outputs, tmp_path, **options):
    file = cr.visualize(outputs, tmp_path / "graph.html", **options)
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', file.read_text(), re.DOTALL)[1])


def node_of(shown, op):
    (found,) = [node for node in shown["nodes"] if node["op"] == op]
    return found


def test_a_function_is_shown_with_values_gradients_names_and_lines(tmp_path):
    x = cr.tensor(2.0, requires_grad=True)
    y = cr.tensor(3.0, requires_grad=True)
    kept = {}

    def f():
        kept["z"] = x * y + y**2
        return kept["z"]

    shown = written(f, tmp_path)
    add, mul, power = [node_of(shown, op) for op in ("add", "mul", "pow")]
    assert [node["results"][0]["value"]["min"] for node in (add, mul, power)] == [15, 6, 9]
    leaves = {node["results"][0]["names"][0]: node["results"][0] for node in shown["nodes"] if node["kind"] == "leaf"}
    assert {name: (leaf["value"]["min"], leaf["gradient"]["min"]) for name, leaf in leaves.items()} == {
        "x": (2, 3),
        "y": (3, 8),
    }
    assert add["root"]
    assert add["name"] == "AddBackward0"
    assert power["params"] if "params" in power else power["inputs"][1]["constant"]["value"]["min"] == 2
    file, line, function, source = shown["frames"][mul["at"][-1]]
    assert (function, source) == ("f", 'kept["z"] = x * y + y**2')
    assert file.endswith("test_visualize.py")
    assert line == f.__code__.co_firstlineno + 1
    assert x.grad is None


def test_of_a_tensor_what_nodes_saved_is_known_and_no_more(tmp_path):
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    loss = ((x * 2).exp() + 1).sum()
    shown = written(loss, tmp_path)
    assert node_of(shown, "exp")["results"][0]["value"]["max"] == pytest.approx(np.exp(4.0), rel=1e-6)
    assert "value" not in node_of(shown, "add")["results"][0]
    assert node_of(shown, "add")["results"][0]["shape"] == [2]
    assert node_of(shown, "exp")["at"] == []
    assert "The graph of loss" in cr.visualize(loss, tmp_path / "graph.html").read_text()


def test_a_freed_graph_says_so_and_keeps_what_was_noted(tmp_path):
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with noting(values=True):
        loss = (x * x).sum()
    loss.backward()
    shown = written(loss, tmp_path)
    assert "freed" in shown["summary"]["noGradients"]
    assert node_of(shown, "mul")["results"][0]["value"]["text"] == "[1, 4]"
    assert node_of(shown, "mul")["freed"]
    assert node_of(shown, "leaf")["grad"]["text"] == "[2, 4]"


def test_gradients_are_those_of_a_pass_that_adds_nothing(tmp_path):
    x = cr.tensor([3.0, 4.0], requires_grad=True)
    x.grad = cr.tensor([7.0, 7.0])
    h = x.exp()
    shown = written((h * h).sum(), tmp_path)
    assert node_of(shown, "exp")["results"][0]["gradient"]["max"] == pytest.approx(2 * np.exp(4.0), rel=1e-6)
    assert x.grad.tolist() == [7, 7]
    assert written((h * h).sum(), tmp_path, gradients=False)["summary"]["noGradients"] == "they were not asked for"
    assert "grad_outputs" in written(h, tmp_path)["summary"]["noGradients"]
    whole = written(h, tmp_path, grad_outputs=cr.tensor([1.0, 2.0]))
    assert node_of(whole, "exp")["results"][0]["gradient"]["text"] == "[1, 2]"


def test_a_pass_that_fails_leaves_the_graph_and_its_reason(tmp_path):
    x = cr.ones(2, requires_grad=True)
    h = x.exp()
    loss = (h * h).sum()
    h.detach().add_(1)
    shown = written(loss, tmp_path)
    assert "modified by an inplace operation" in shown["summary"]["noGradients"]
    assert [saved["why"] for saved in node_of(shown, "mul")["saved"]] == ["overwritten since"] * 2
    assert [saved["why"] for saved in node_of(shown, "exp")["saved"]] == ["overwritten since"]
    with noting(), cr.autograd.graph.saved_tensors_hooks(lambda t: 1, lambda t: 1 / 0):
        loss = (x * x).sum()
    shown = written(loss, tmp_path)
    assert "ZeroDivisionError" in shown["summary"]["noGradients"]
    assert {saved["why"] for saved in node_of(shown, "mul")["saved"]} == {"packed by a hook"}
    assert not cr.is_anomaly_enabled()


def test_parameters_have_the_names_that_their_module_gives(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    loss = model(cr.ones(2, 3)).sum()
    for options in ({}, {"names": model}, {"names": {"model": model}}):
        shown = written(loss, tmp_path, **options)
        names = {node["results"][0]["names"][0] for node in shown["nodes"] if node["kind"] == "parameter"}
        assert names == {"0.weight", "0.bias", "2.weight", "2.bias"}
        assert [block["class"] for block in shown["tree"] if isinstance(block, dict)] == ["Linear", "Linear"]
    two = {"a": model, "b": nn.Linear(1, 1)}
    shown = written((loss, two["b"](cr.ones(1, 1)).sum()), tmp_path, names=two)
    assert {"a.0.weight", "b.bias"} <= {name for node in shown["nodes"] for name in node["results"][0].get("names", ())}


def test_memory_is_what_nodes_keep_that_leaves_do_not_hold(tmp_path):
    x = cr.ones(100, requires_grad=True)
    h = x.exp()
    shown = written((h * h).sum(), tmp_path)
    assert node_of(shown, "exp")["bytes"] == 400
    assert node_of(shown, "mul")["bytes"] == 0, "its inputs are the memory that exp keeps"
    assert shown["summary"]["bytes"] == 400
    assert written((x * x).sum(), tmp_path)["summary"]["bytes"] == 0


def test_custom_functions_several_results_and_leaves_are_shown(tmp_path):
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            return x * factor, x + 1

        @staticmethod
        def backward(ctx, g, h):
            return 2 * g + h, None

    x = cr.tensor([1.0, 2.0], requires_grad=True)
    shown = written(lambda: sum(Twice.apply(x, 2.0)).sum(), tmp_path)
    node = node_of(shown, "TwiceBackward")
    assert node["kind"] == "function"
    assert [result["value"]["text"] for result in node["results"]] == ["[2, 4]", "[2, 3]"]
    assert [result["gradient"]["text"] for result in node["results"]] == ["[1, 1]", "[1, 1]"]
    values, _ = cr.tensor([3.0, 1.0], requires_grad=True).sort()
    assert len(node_of(written(values.sum(), tmp_path), "sort")["results"]) >= 1
    alone = written(x, tmp_path)
    assert alone["summary"]["ops"] == 0
    assert alone["summary"]["leaves"] == 1


@pytest.mark.parametrize("program", ["vmap", "grad", "create_graph", "dual", "checkpoint", "compiled", "bfloat16", "written"])
def test_graphs_of_all_kinds_are_shown(program, tmp_path):
    if program == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    def written_in_place():
        h = x.clone()
        h[0] = h[1] * 2
        return h.sin_().sum()

    with cr.autograd.forward_ad.dual_level():
        f = {
            "vmap": lambda: cr.func.vmap(lambda row: (row * row).sum())(x).sum(),
            "grad": lambda: cr.func.grad(lambda y: (y**3).sum())(x).sum(),
            "create_graph": lambda: cr.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum(),
            "dual": lambda: (cr.autograd.forward_ad.make_dual(x, cr.ones(2, 2)) ** 2).sum(),
            "checkpoint": lambda: cr.utils.checkpoint.checkpoint(lambda y: (y.sin() * y).sum(), x, use_reentrant=False),
            "compiled": lambda: cr.compile(lambda y: (y.sin() * y).sum())(x),
            "bfloat16": lambda: (x.to(cr.bfloat16) * 2).float().sum(),
            "written": written_in_place,
        }[program]
        shown = written(f, tmp_path)
        result = f()
        result = cr.autograd.forward_ad.unpack_dual(result).primal
    assert shown["summary"]["noGradients"] == ""
    (leaf,) = [node for node in shown["nodes"] if node["kind"] == "leaf"]
    (gradient,) = cr.autograd.grad(result, x)
    assert leaf["results"][0]["gradient"]["norm"] == pytest.approx(gradient.norm().item(), rel=1e-5)


def test_numbers_that_json_cannot_hold_and_other_dtypes_are_told(tmp_path):
    x = cr.tensor([0.0, -1.0, 4.0, 1e200], dtype=cr.float64, requires_grad=True)
    shown = written(lambda: (x.log() * 1e200).sum(), tmp_path)
    value = node_of(shown, "log")["results"][0]["value"]
    assert (value["min"], value["nan"], value["inf"], value["norm"]) == ("-inf", 0.25, 0.25, "nan")
    assert node_of(shown, "leaf")["results"][0]["value"]["norm"] == 1e200
    z = cr.tensor([3 + 4j], requires_grad=True)
    result = node_of(written(lambda: (z * z).abs().sum(), tmp_path), "leaf")["results"][0]
    assert result["value"]["norm"] == 5
    assert "min" not in result["value"]
    empty = node_of(written(cr.ones(0, requires_grad=True).exp().sum(), tmp_path), "exp")["results"][0]
    assert empty["value"] == {"size": 0, "norm": 0.0, "text": "[]"}


def test_text_of_the_program_cannot_leave_its_place(tmp_path):
    names = {"</script><script>alert(1)</script>": cr.ones(1, requires_grad=True)}
    (x,) = names.values()
    file = cr.visualize((x * 2).sum(), tmp_path / "graph.html", names=names, title="<b>&amp;</b>")
    text = file.read_text()
    assert "alert(1)</script>" not in text
    assert "<title>&lt;b&gt;&amp;amp;&lt;/b&gt;</title>" in text


def test_errors(tmp_path):
    x = cr.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"must end with \.html or \.svg"):
        cr.visualize(x.sum(), tmp_path / "graph.png")
    for bad in (3, [], [x, 1], lambda: None):
        with pytest.raises(TypeError, match="takes a tensor"):
            cr.visualize(bad, tmp_path / "graph.html")
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        cr.visualize(cr.ones(2).sum(), tmp_path / "graph.html")
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad"):
        cr.visualize([x.sum(), cr.ones(2).sum()], tmp_path / "graph.html")
    with pytest.raises(TypeError, match="names must be a module or a mapping"):
        cr.visualize(x.sum(), tmp_path / "graph.html", names=3)
    assert not list(tmp_path.iterdir())


def test_a_picture_stands_alone(tmp_path):
    pytest.importorskip("py_mini_racer")
    x = cr.tensor(2.0, requires_grad=True)
    file = cr.visualize(lambda: (x * 3).exp(), tmp_path / "graph.svg", title="a < b")
    text = file.read_text()
    root = ET.fromstring(text)
    ns = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{ns}title").text == "a < b"
    shown = [[text.text for text in node.findall(f"{ns}text")] for node in root.findall(f"{ns}g")]
    assert [words[0] for words in shown] == ["x", "mul", "exp"]
    assert shown[0][1] == "2 · grad 1210"
    assert len([path for path in root.findall(f"{ns}path") if path.get("class") == "edge"]) == 2
    assert "var(--" not in text
    assert "light-dark" not in text


def test_the_figures_of_the_documentation_are_what_is_drawn(tmp_path):
    pytest.importorskip("py_mini_racer")
    figures = Path(__file__).parents[2] / "docs" / "figures"
    script = figures.parents[1] / "scripts" / "write_graph_figures.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    made = sorted(tmp_path.iterdir())
    assert [file.name for file in made] == sorted(file.name for file in figures.glob("graph-*.svg"))
    for file in made:
        assert file.read_text() == (figures / file.name).read_text(), "run: python scripts/write_graph_figures.py"


def test_a_picture_without_its_package_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['py_mini_racer'] = None; import chainrule as cr\n"
        f"cr.visualize(cr.ones(1, requires_grad=True) * 2, {str(tmp_path / 'graph.svg')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "chainrule[svg]"' in done.stderr


def test_what_explains_a_gradient_stands_at_its_leaf_and_at_the_cause(tmp_path):
    x = cr.tensor([4.0, 0.0], requires_grad=True)
    w = cr.tensor([-1.0, -2.0], requires_grad=True)

    def loss():
        root = x.sqrt()
        return cr.where(x > 0, root, 0.0).sum() + cr.relu(w).sum()

    shown = written(loss, tmp_path)
    leaves = {node["results"][0]["names"][0]: node for node in shown["nodes"] if node["kind"] == "leaf"}
    assert leaves["x"]["text"].startswith("the gradient of x is nan in 1 of 2 elements")
    assert "root = x.sqrt()" in leaves["x"]["text"]
    assert "masked" in node_of(shown, "sqrt")["text"]
    assert "dead relu" in node_of(shown, "relu")["text"]
    assert all("text" not in node for node in written(lambda: (x + w).sum(), tmp_path)["nodes"])

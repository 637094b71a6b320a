"""``chainrule graph``: a program runs up to a backward pass, whose graph is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest


def graph(tmp_path, source, *options, arguments=()):
    """Run a program under the command; return what ended it, and what the page shows."""
    (tmp_path / "program.py").write_text(source)
    command = [sys.executable, "-m", "chainrule", "graph", *options, "program.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    page = tmp_path / "graph.html"
    text = page.read_text() if page.exists() else ""
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    return done, json.loads(data[1]) if data else None


TRAINING = """
import sys
import torch
model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
print(sys.argv[1:])
for step in range(5):
    optimiser.zero_grad()
    loss = model(torch.ones(4, 2)).square().mean()
    print("step", step)
    loss.backward()
    optimiser.step()
"""


@pytest.mark.parametrize("number", [1, 3])
def test_the_graph_of_a_pass_is_written_before_it_and_the_program_ends(tmp_path, number):
    done, shown = graph(tmp_path, TRAINING, "--pass", str(number), arguments=["--rate", "3"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['--rate', '3']", *[f"step {i}" for i in range(number)], "chainrule graph: graph.html",
    ]  # fmt: skip
    names = {node["results"][0]["names"][0] for node in shown["nodes"] if node["kind"] == "parameter"}
    assert names == {"0.weight", "0.bias", "2.weight", "2.bias"}
    (root,) = [node for node in shown["nodes"] if node.get("root")]
    assert root["results"][0]["names"] == ["loss"]
    assert shown["frames"][root["at"][-1]] == ["program.py", 9, "<module>", "loss = model(torch.ones(4, 2)).square().mean()"]
    assert shown["summary"]["noGradients"] == ""


@pytest.mark.slow
def test_a_cotangent_that_the_program_gives_is_the_pages(tmp_path):
    source = "import chainrule as cr\nx = cr.ones(2, requires_grad=True)\ny = x * 3\ny.backward(cr.tensor([1.0, 5.0]))\n"
    done, shown = graph(tmp_path, source)
    assert done.returncode == 0, done.stderr
    (leaf,) = [node for node in shown["nodes"] if node["kind"] == "leaf"]
    assert leaf["results"][0]["gradient"]["text"] == "[3, 15]"
    source = source.replace("y.backward(cr.tensor([1.0, 5.0]))", "cr.autograd.grad(y, x, cr.tensor([1.0, 5.0]))")
    (leaf,) = [node for node in graph(tmp_path, source)[1]["nodes"] if node["kind"] == "leaf"]
    assert leaf["results"][0]["gradient"]["text"] == "[3, 15]"


def test_without_a_pass_it_is_the_graph_of_what_is_left(tmp_path):
    done, shown = graph(tmp_path, "import chainrule as cr\nx = cr.tensor(2.0, requires_grad=True)\nh = x * x\nz = h.exp()\n")
    assert done.returncode == 0, done.stderr
    assert shown["title"] == "The graph of z"
    assert [node["op"] for node in shown["nodes"] if node.get("root")] == ["exp"]


@pytest.mark.slow
def test_what_cannot_be_shown_is_told(tmp_path):
    done, shown = graph(tmp_path, "import chainrule as cr\nx = cr.ones(2)\n")
    assert (done.returncode, shown) == (1, None)
    assert "no backward pass" in done.stderr
    done, _ = graph(tmp_path, TRAINING, "--pass", "9")
    assert done.returncode == 1
    assert "took 5 backward pass(es)" in done.stderr
    done, _ = graph(tmp_path, TRAINING, "-o", "graph.png")
    assert done.returncode == 2
    assert "must end with .html or .svg" in done.stderr
    done, _ = graph(tmp_path, "raise KeyError('mine')")
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr

"""Random programs full of hooks tell the same story under both libraries: what is called, in which order, with what."""

from __future__ import annotations

import random
import warnings

import pytest

import chainrule as cr


def told(t):
    return None if t is None else (tuple(t.shape), [float(f"{v:.8g}") for v in t.detach().reshape(-1).tolist()])


class Story:
    """One program: leaves, operations, hooks on both, and a backward pass of some kind."""

    def __init__(self, lib, seed):
        self.lib, self.random = lib, random.Random(seed)
        self.events, self.kept, self.count = [], [], 0

    def run(self):
        draw = self.random
        pool = [self.leaf(required=True)] + [self.leaf() for _ in range(draw.randint(0, 2))]
        for i, t in enumerate(pool):
            for _ in range(draw.randint(0, 2)):
                self.attach(t, f"leaf {i}")
        for i in range(draw.randint(2, 8)):
            name = draw.choice(sorted(OPS))
            made = OPS[name](self, draw.choice(pool), draw.choice(pool))
            for _ in range(draw.randint(0, 2)):
                self.attach(made, f"{name} {i}")
            pool.append(made)
        out = pool[-1].sum()
        if out.requires_grad:
            self.differentiate(out, [t for t in pool if t.requires_grad])
        return self.events

    def leaf(self, required=False):
        values = [self.random.uniform(0.3, 1.5) for _ in range(3)]
        return self.lib.tensor(values, dtype=self.lib.float64, requires_grad=self.random.random() < 0.85 or required)

    def differentiate(self, out, tensors):
        how = self.random.choice(["backward", "backward", "twice", "some", "grad", "recorded"])
        inputs = self.random.sample(tensors, min(len(tensors), self.random.randint(1, 2)))
        try:
            if how == "backward":
                out.backward()
            elif how == "twice":
                out.backward(retain_graph=True)
                out.backward()
            elif how == "some":
                out.backward(inputs=inputs)
            else:
                found = self.lib.autograd.grad(out, inputs, allow_unused=True, create_graph=how == "recorded")
                self.events.append(("grad", [told(g) for g in found]))
        except RuntimeError as e:
            self.events.append(("error", str(e)[:40]))
        self.events += [("kept", told(t.grad)) for t in tensors if t.is_leaf or t.retains_grad]

    def attach(self, t, name):
        if not t.requires_grad:
            return
        self.count += 1
        kind = self.random.choice(["tensor", "tensor", "retain", "before", "after", "leaf", "accumulator"])
        if kind == "retain":
            t.retain_grad()
        elif kind == "tensor":
            t.register_hook(self.on_tensor(name, self.count))
        elif kind == "leaf" and t.grad_fn is None:
            t.register_post_accumulate_grad_hook(self.on_leaf(name, self.count))
        elif kind == "accumulator" and t.grad_fn is None:
            node = t.view_as(t).grad_fn.next_functions[0][0]
            self.kept.append(node)
            node.register_prehook(self.before(name, self.count))
            node.register_hook(self.after(name, self.count))
        elif kind in ("before", "after") and t.grad_fn is not None:
            register = t.grad_fn.register_prehook if kind == "before" else t.grad_fn.register_hook
            register(getattr(self, kind)(name, self.count))

    def on_tensor(self, *who):
        replaces = self.random.random() < 0.3

        def hook(g):
            self.events.append(("tensor", *who, told(g)))
            return g * 2 if replaces and g is not None else None

        return hook

    def on_leaf(self, *who):
        return lambda p: self.events.append(("leaf", *who, told(p.grad)))

    def before(self, *who):
        replaces = self.random.random() < 0.3

        def hook(gs):
            self.events.append(("before", *who, [told(g) for g in gs]))
            return tuple(None if g is None else g + 1 for g in gs) if replaces else None

        return hook

    def after(self, *who):
        replaces = self.random.random() < 0.3

        def hook(to, frm):
            self.events.append(("after", *who, [told(g) for g in to], [told(g) for g in frm]))
            return tuple(None if g is None else g * 3 for g in to) if replaces else None

        return hook


def unbound(story, x, y):
    a, b, c = x.unbind()
    story.attach(a, "first of three")
    story.attach(c, "last of three")
    return story.lib.stack([a, a * c, c + b.detach()])


def in_place(story, x, y):
    made = x.clone()
    story.attach(made, "before the write")
    return made.mul_(y)


OPS = {
    "mul": lambda story, x, y: x * y,
    "add": lambda story, x, y: x + y,
    "exp": lambda story, x, y: (x * 0.3).exp(),
    "sin": lambda story, x, y: x.sin(),
    "square": lambda story, x, y: x * x,
    "sum": lambda story, x, y: x * y.sum(),
    "index": lambda story, x, y: x[1] * y,
    "view": lambda story, x, y: x.view(3, 1).view(3),
    "detach": lambda story, x, y: x.detach() * y,
    "cat": lambda story, x, y: story.lib.cat([x, y])[1:4],
    "unbind": unbound,
    "in place": in_place,
}


def check(torch, seeds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            assert Story(cr, seed).run() == Story(torch, seed).run(), f"program {seed}"


def test_programs_full_of_hooks_tell_the_same_story(torch):
    check(torch, range(300))


@pytest.mark.slow
def test_many_programs_full_of_hooks_tell_the_same_story(torch):
    check(torch, range(300, 4000))


graph = cr.autograd.graph
MODES = {
    "packed as NumPy arrays": lambda: graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), cr.from_numpy),
    "packed as they are": lambda: graph.saved_tensors_hooks(lambda t: t, lambda t: t),
    "saved on the CPU": graph.save_on_cpu,
    "writes let be": graph.allow_mutation_on_saved_tensors,
    "anomaly mode": lambda: cr.autograd.set_detect_anomaly(True, check_forward=True),
}


@pytest.mark.parametrize("mode", MODES)
def test_story_is_the_same_in_modes_that_change_nothing(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(60):
            plain = Story(cr, seed).run()
            with MODES[mode]():
                assert Story(cr, seed).run() == plain, f"program {seed}"

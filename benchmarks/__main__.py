"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.budgets import budgets
from benchmarks.compare import compare
from benchmarks.compiled import LIBRARIES, compiled
from benchmarks.compiled import memory as memory_compiled
from benchmarks.costs import costs
from benchmarks.estimates import estimates
from benchmarks.explained import explained
from benchmarks.libraries import PEERS
from benchmarks.memory import memory
from benchmarks.safe import safe
from benchmarks.scaling import scaling
from benchmarks.sparse import PEERS as SPARSE_PEERS
from benchmarks.sparse import sparse
from benchmarks.timing import FULL, QUICK
from benchmarks.transforms import transforms


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="compare",
        choices=(
            "compare", "budgets", "compiled", "costs", "estimates", "explained", "memory", "safe", "sparse", "transforms",
            "scaling",
        ),
        help="compare: chainrule beside its peers (default); budgets: gradients in bounded memory; "
        "compiled: cr.compile beside PyTorch's compiler, JAX and Dr.Jit; "
        "costs: programs from the fields and large kernels beside PyTorch; "
        "estimates: what autograd.estimate predicts beside what runs take; "
        "explained: what anomaly modes say of planted NaN, infinite, zero and missing gradients; "
        "memory: what second-order programs hold at once, beside PyTorch; "
        "safe: who gets programs with where right, and what the mode that does costs; "
        "sparse: Jacobians and Hessians of sparse families beside JAX with asdex and CasADi; "
        "transforms: func beside torch.func and JAX; "
        "scaling: the cost of chainrule's own gradients and graphs",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a few short rounds: a smoke test, not a measurement")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases, or parts of scaling, named like one of these")
    parser.add_argument(
        "--peers",
        help=f"comma-separated (default: {','.join(PEERS)}; of compiled {','.join(LIBRARIES)}; "
        f"of sparse {','.join(SPARSE_PEERS)})",
    )
    parser.add_argument(
        "--limit", type=float, default=300, help="of compiled: seconds that a first call may take (default: %(default)s)"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    given = parser.parse_args(arguments)
    effort = QUICK if given.quick else FULL
    if given.what == "scaling":
        scaling(given.only, effort, given.markdown)
        return
    if given.what == "budgets":
        budgets(given.only, effort, given.markdown)
        return
    if given.what == "estimates":
        estimates(given.only, given.markdown)
        return
    known = {"compiled": LIBRARIES, "sparse": SPARSE_PEERS}.get(given.what, PEERS)
    peers = known if given.peers is None else tuple(filter(None, given.peers.split(",")))
    if unknown := set(peers) - set(known):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if given.what == "compiled":
        compiled(given.only, peers, effort, given.markdown, given.limit)
        if not given.only:
            memory_compiled(peers, given.markdown)
        return
    if given.what == "transforms":
        transforms(given.only, peers, effort, given.markdown)
        return
    if given.what == "memory":
        memory(given.only, peers, given.markdown)
        return
    if given.what == "sparse":
        sparse(given.only, peers, effort, given.markdown, small=given.quick)
        return
    if given.what == "explained":
        explained(given.only, peers, given.markdown)
        return
    if given.what == "safe":
        safe(given.only, peers, effort, given.markdown)
        return
    if given.what == "costs":
        costs(given.only, peers, effort, given.markdown)
        return
    compare(given.only, peers, effort, given.markdown)


if __name__ == "__main__":
    main()

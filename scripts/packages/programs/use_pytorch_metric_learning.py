"""pytorch-metric-learning: its losses on the same embeddings, with gradients; distances, miners, reducers."""

import pytest
import torch
from agreement import agree, begin, drawn, integers
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

LABELS = integers(4, (16,))
LOSSES = {
    "angular": losses.AngularLoss,
    "circle": losses.CircleLoss,
    "contrastive": losses.ContrastiveLoss,
    "cosface": lambda: losses.CosFaceLoss(4, 6),
    "arcface": lambda: losses.ArcFaceLoss(4, 6),
    "subcenter": lambda: losses.SubCenterArcFaceLoss(num_classes=4, embedding_size=6),
    "sphereface": lambda: losses.SphereFaceLoss(4, 6),
    "fastap": losses.FastAPLoss,
    "generalized lifted": losses.GeneralizedLiftedStructureLoss,
    "histogram": losses.HistogramLoss,
    "intra pair": losses.IntraPairVarianceLoss,
    "lifted": losses.LiftedStructureLoss,
    "margin": losses.MarginLoss,
    "multi similarity": losses.MultiSimilarityLoss,
    "nca": losses.NCALoss,
    "npairs": losses.NPairsLoss,
    "ntxent": losses.NTXentLoss,
    "normalized softmax": lambda: losses.NormalizedSoftmaxLoss(4, 6),
    "pnp": losses.PNPLoss,
    "proxy anchor": lambda: losses.ProxyAnchorLoss(4, 6),
    "proxy nca": lambda: losses.ProxyNCALoss(4, 6),
    "ranked list": lambda: losses.RankedListLoss(margin=0.3, Tn=5),
    "signal to noise": losses.SignalToNoiseRatioContrastiveLoss,
    "soft triple": lambda: losses.SoftTripleLoss(4, 6),
    "supcon": losses.SupConLoss,
    "threshold mean": losses.ThresholdConsistentMarginLoss,
    "triplet": losses.TripletMarginLoss,
    "tuplet": losses.TupletMarginLoss,
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    loss = LOSSES[name]()
    begin(f"loss {name}", loss)
    x = drawn(16, 6).requires_grad_()
    value = loss(x, LABELS)
    value.backward()
    agree(f"value {name}", {"value": value, "gradient": x.grad} | {k: p.grad for k, p in loss.named_parameters()}, 1e-3, 1e-5)


def test_vicreg():
    x, y = drawn(16, 6).requires_grad_(), drawn(16, 6, seed=1)
    value = losses.VICRegLoss()(x, ref_emb=y)
    value.backward()
    agree("vicreg", {"value": value, "gradient": x.grad}, 1e-3, 1e-5)


@pytest.mark.parametrize("miner", [miners.BatchHardMiner, miners.MultiSimilarityMiner, miners.TripletMarginMiner, miners.PairMarginMiner,
                                   miners.BatchEasyHardMiner])  # fmt: skip
def test_miner(miner):
    found = miner()(drawn(16, 6), LABELS)
    agree(f"miner {miner.__name__}", {str(i): part for i, part in enumerate(found)})


@pytest.mark.parametrize(
    "distance", [distances.LpDistance, distances.CosineSimilarity, distances.DotProductSimilarity, distances.SNRDistance]
)
def test_distance(distance):
    x = drawn(5, 4).requires_grad_()
    found = distance()(x, drawn(6, 4, seed=1))
    found.sum().backward()
    agree(f"distance {distance.__name__}", {"found": found, "gradient": x.grad}, 1e-3, 1e-5)


def test_reducers_and_memory():
    for reducer in (reducers.AvgNonZeroReducer(), reducers.ClassWeightedReducer(torch.tensor([0.1, 0.2, 0.3, 0.4])),
                    reducers.ThresholdReducer(low=0.0), reducers.SumReducer()):  # fmt: skip
        loss = losses.TripletMarginLoss(reducer=reducer, embedding_regularizer=regularizers.LpRegularizer())
        agree(f"reducer {type(reducer).__name__}", {"value": loss(drawn(16, 6), LABELS)}, 1e-3)
    memory = losses.CrossBatchMemory(losses.NTXentLoss(), 6, memory_size=24)
    values = [memory(drawn(16, 6, seed=s), LABELS) for s in range(3)]
    agree("memory", {"values": torch.stack(values)}, 1e-3)

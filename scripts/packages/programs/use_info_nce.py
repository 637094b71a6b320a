"""info-nce-pytorch: the loss, its modes, its gradients and its errors."""

import pytest
from agreement import agree, drawn
from info_nce import InfoNCE, info_nce


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("mode", ["unpaired", "paired", None])
def test_loss(mode, reduction):
    query, key = drawn(6, 4).requires_grad_(), drawn(6, 4, seed=1).requires_grad_()
    negatives = {"unpaired": drawn(5, 4, seed=2), "paired": drawn(6, 5, 4, seed=2), None: None}[mode]
    loss = InfoNCE(temperature=0.2, reduction=reduction, negative_mode=mode or "unpaired")(query, key, negatives)
    loss.sum().backward()
    agree(f"{mode} {reduction}", {"loss": loss, "query": query.grad, "key": key.grad})


def test_errors():
    with pytest.raises(ValueError):
        info_nce(drawn(6, 4), drawn(5, 4))
    with pytest.raises(ValueError):
        info_nce(drawn(6, 4), drawn(6, 3))

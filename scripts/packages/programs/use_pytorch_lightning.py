"""pytorch-lightning: a module in training by its Trainer, with what it does between steps, and checkpoints to resume from."""

import logging
import warnings

import pytest
import pytorch_lightning as pl
import torch
from agreement import agree, begin, drawn, integers
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.simplefilter("ignore")


class Classifier(pl.LightningModule):
    def __init__(self, width=16, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 3))
        self.losses = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, number):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.losses.append(loss.item())
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, number):
        x, y = batch
        out = self(x)
        self.log_dict({"val_loss": nn.functional.cross_entropy(out, y), "right": (out.argmax(1) == y).float().mean()})

    test_step = validation_step

    def predict_step(self, batch, number):
        return self(batch[0]).softmax(1)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)]


class ByHand(Classifier):
    """Steps its two optimisers itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, number):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(self.optimizers()[0], 0.5, "norm")
        for optimizer in self.optimizers():
            optimizer.step()
        self.losses.append(loss.item())

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[part].parameters(), lr=0.1) for part in (0, 3)]


class Data(pl.LightningDataModule):
    def setup(self, stage):
        self.sets = [TensorDataset(drawn(40, 6, seed=seed), integers(3, (40,), seed=seed)) for seed in range(3)]

    def train_dataloader(self):
        return DataLoader(self.sets[0], batch_size=8)

    def val_dataloader(self):
        return DataLoader(self.sets[1], batch_size=8)

    def test_dataloader(self):
        return DataLoader(self.sets[2], batch_size=8)

    predict_dataloader = test_dataloader


def trainer(folder, callbacks=(), **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    kept = {"enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks)}
    return pl.Trainer(default_root_dir=folder, callbacks=list(callbacks), **(quiet | kept | {"max_epochs": 3} | options))


def ends(model):
    return {f"{key} at the end": value.clone() for key, value in model.state_dict().items()}


OPTIONS = {
    "plain": {},
    "accumulated": {"accumulate_grad_batches": 2},
    "clipped by norm": {"gradient_clip_val": 0.1},
    "clipped by value": {"gradient_clip_val": 0.05, "gradient_clip_algorithm": "value"},
    "32": {"precision": 32},
    "64": {"precision": "64-true"},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "bf16-true": {"precision": "bf16-true", "max_epochs": 1},
    "steps": {"max_steps": 7, "max_epochs": -1},
    "often": {"val_check_interval": 2, "limit_val_batches": 2},
    "some": {"limit_train_batches": 0.5, "num_sanity_val_steps": 0},
    "overfit": {"overfit_batches": 2},
    "anomalies": {"detect_anomaly": True},
    "deterministic": {"deterministic": True},
    "once": {"fast_dev_run": True},
    "barebones": {"barebones": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_trains(name, tmp_path):
    model, data = Classifier(), Data()
    begin(f"trains-{name}", model)
    fitted = trainer(tmp_path, **OPTIONS[name])
    fitted.fit(model, data)
    found = {"losses": model.losses, **{key: value.float() for key, value in ends(model).items()}}
    found |= {f"logged {key}": value for key, value in fitted.callback_metrics.items()}
    rough = {"rtol": 0.05, "atol": 0.02} if "bf16" in name else {"rtol": 1e-3, "atol": 1e-4}
    agree(f"trains-{name}", found, **rough)


def test_validates_tests_and_predicts(tmp_path):
    model, data = Classifier(), Data()
    begin("stages", model)
    fitted = trainer(tmp_path)
    found = {f"before {key}": value for key, value in fitted.validate(model, data, verbose=False)[0].items()}
    fitted.fit(model, data)
    found |= {f"after {key}": value for key, value in fitted.test(model, data, verbose=False)[0].items()}
    found["predicted"] = torch.cat(fitted.predict(model, data))
    agree("stages", found, rtol=1e-3)


def test_steps_by_hand(tmp_path):
    model = ByHand()
    begin("by-hand", model)
    trainer(tmp_path).fit(model, Data())
    agree("by-hand", {"losses": model.losses, **ends(model)}, rtol=1e-3, atol=1e-4)


def test_resumes_where_it_stopped(tmp_path):
    whole, half = Classifier(), Classifier()
    begin("resumes", whole)
    half.load_state_dict(whole.state_dict())
    trainer(tmp_path, max_epochs=4).fit(whole, Data())
    keeper = ModelCheckpoint(tmp_path, "kept", save_last=True)
    trainer(tmp_path, [keeper], max_epochs=2).fit(half, Data())
    again = Classifier()
    trainer(tmp_path, max_epochs=4).fit(again, Data(), ckpt_path=keeper.last_model_path)
    assert len(again.losses) == 10 and half.losses + again.losses == whole.losses
    agree("resumes", {"losses": whole.losses, **ends(again)}, rtol=1e-3, atol=1e-4)


def test_the_best_is_kept_and_loaded(tmp_path):
    model = Classifier(width=8)
    begin("best", model)
    keeper = ModelCheckpoint(tmp_path, "{epoch}-{right:.3f}", monitor="val_loss", save_top_k=2)
    trainer(tmp_path, [keeper], max_epochs=4).fit(model, Data())
    loaded = Classifier.load_from_checkpoint(keeper.best_model_path)
    assert loaded.hparams == {"width": 8, "lr": 0.1}
    assert len(list(tmp_path.glob("*.ckpt"))) == 2
    agree("best", {"score": keeper.best_model_score, **ends(loaded)}, rtol=1e-3, atol=1e-4)


def test_weights_alone_are_kept(tmp_path):
    model = Classifier()
    begin("weights", model)
    fitted = trainer(tmp_path, max_epochs=1)
    fitted.fit(model, Data())
    fitted.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    kept = torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert "optimizer_states" not in kept and kept["global_step"] == 5
    agree("weights", kept["state_dict"], rtol=1e-3, atol=1e-4)


def test_stops_early(tmp_path):
    model = Classifier(lr=0.5)
    begin("early", model)
    stopper = EarlyStopping("val_loss", patience=2)
    fitted = trainer(tmp_path, [stopper], max_epochs=30)
    fitted.fit(model, Data())
    assert 2 < fitted.current_epoch < 30
    agree("early", {"epochs": fitted.current_epoch, "best": stopper.best_score}, rtol=1e-3)


def test_weights_are_averaged(tmp_path):
    model = Classifier()
    begin("averaged", model)
    trainer(tmp_path, [StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)], max_epochs=4).fit(model, Data())
    agree("averaged", ends(model), rtol=1e-3, atol=1e-4)


def test_callbacks_are_called(tmp_path):
    calls = []

    class Listener(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            calls.append(sum(float(p.grad.norm()) for p in module.parameters()))

        def on_train_batch_end(self, trainer, module, outputs, batch, number):
            calls.append(float(outputs["loss"]))

    model = Classifier()
    begin("callbacks", model)
    growing = GradientAccumulationScheduler({0: 1, 1: 2})
    trainer(tmp_path, [Listener(), growing], max_epochs=2).fit(model, Data())
    agree("callbacks", {"calls": calls}, rtol=1e-3, atol=1e-4)


def test_logs_and_rates_are_written(tmp_path):
    model = Classifier()
    begin("logs", model)
    logger = pl.loggers.CSVLogger(tmp_path)
    trainer(tmp_path, [LearningRateMonitor("epoch")], logger=logger, log_every_n_steps=1).fit(model, Data())
    lines = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [[float(cell or "nan") for cell in line.split(",")] for line in lines[1:]]
    agree("logs", {name: [row[i] for row in rows] for i, name in enumerate(columns)}, rtol=1e-3, atol=1e-4)


def test_summary():
    model = Classifier()
    model.example_input_array = drawn(2, 6)
    found = pl.utilities.model_summary.ModelSummary(model, max_depth=2)
    layers = str(found).splitlines()
    assert [cell.strip() for cell in layers[3].split("|")][1:] == [
        "net.0",
        "Linear",
        "112",
        "train",
        "384",
        "[2, 6]",
        "[2, 16]",
    ]
    assert found.total_parameters == 195
    agree("summary", {"flops": found.total_flops})


def test_with_all_that_is_there_by_default(tmp_path, capsys):
    model = Classifier()
    begin("default", model)
    pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", max_epochs=1).fit(model, Data())
    assert list(tmp_path.glob("lightning_logs/version_0/checkpoints/*.ckpt"))
    agree("default", {"losses": model.losses}, rtol=1e-3)

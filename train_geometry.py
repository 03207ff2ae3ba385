"""Stage 1: learn to predict a closed mesh from six images.

    python train_geometry.py                                    # your data/OBJs, or the shipped sample shoes
    python train_geometry.py --preset fast --num_epochs_stage1 2
    python train_geometry.py --resume                           # go on from checkpoints/geometry_last.pth
    torchrun --nproc_per_node 2 train_geometry.py               # several processes

Writes checkpoints/geometry_best.pth (best on objects held out of training) and geometry_last.pth, and to
logs/geometry.jsonl one JSON line per epoch and per --log_every steps. train_field.py trains the other decoder.
"""
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import Subset

from config import Config, UserError, config_as_dict, counted, parse_config, run_script
from load_data import CachedObject, SixViewDataset, prepare_objects
from models.encoder import cached_features, encode_dataset, load_encoder
from models.geometry_model import GeometryModel
from models.losses import geometry_loss
from utils.device import lighter_training, out_of_memory_advice
from utils.evaluation.validation_sheet import ValidationSheet
from utils.mesh.mesh import Mesh, plain_mesh
from utils.output.provenance import run_record
from utils.training.best_checkpoint import BestCheckpoint, read_best
from utils.training.interruption import asked_to_stop, note_signals, signals_restored, stopped
from utils.training.judging import end_run, judge_start, keep_if_better, show_objects, validation_mean
from utils.training.loop import (
    STATISTICS_OBJECTS,
    batches_to_do,
    check_finite,
    duration,
    learning_rate_at,
    make_optimizer,
    move_aside,
    one_run_at_a_time,
    prepare_run,
    progress,
    sample_generator,
    save_model,
    saved_run,
    set_learning_rate,
    show_losses,
    shuffled_views,
    silence_other_ranks,
    subsample_points,
    take_weights,
    uniform_noise,
    weight_average,
    where_it_stopped,
)
from utils.training.run_log import RunLog, StepMeter
from utils.training_data.loader import make_loader
from utils.training_data.object_cache import input_hashes
from utils.training_data.splits import split_of_run
from utils.views.six_views import SixViews

METRIC = "chamfer"  # what a validation score measures: scores of other metrics are not compared with it
MEAN_SHAPE_STEPS = 150  # of MEAN_SHAPE_OBJECTS objects each: half a minute on a CPU
MEAN_SHAPE_OBJECTS = 8
MEAN_SHAPE_RATE = 0.02  # normalized units per step


def train(cfg: Config) -> dict:
    """Train the geometry model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation Chamfer distances: `start` (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, encoder, device or checkpoint are not as needed, or the loss is no longer finite.
    """
    if cfg.geometry_decoder == "field":
        raise UserError("--geometry_decoder field: the field is trained by python train_field.py, with its own options")
    accelerator = prepare_run(cfg)
    with silence_other_ranks(accelerator), one_run_at_a_time(cfg, "geometry", accelerator), signals_restored():
        return train_on(accelerator, cfg)


def train_on(accelerator: Accelerator, cfg: Config) -> dict:
    """`train` on a device that is ready."""
    # What a stopped run left
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"geometry_{which}.pth" for which in ("last", "best"))
    saved = saved_run(cfg, last_path, "geometry")
    first_epoch, step, start_score, score = where_it_stopped(saved)

    # Data and model
    with accelerator.main_process_first():
        objects, cached = prepare_objects(cfg, quiet=not accelerator.is_main_process)
    train_ids, validation_ids = split_of_run(cfg, [item.id for item in objects], saved, last_path)
    print(f"training on {counted(len(train_ids), 'object')}, validating on {len(validation_ids)} not trained on")
    task = PointsTask(cfg, accelerator, [cached[name] for name in train_ids], [cached[name] for name in validation_ids])
    cfg = replace(cfg, image_size=task.image_size)
    optimizer = make_optimizer(task.model, cfg.weight_decay, cfg.encoder_learning_rate_scale)
    take_weights(cfg, saved, last_path, "geometry", task.model, optimizer)

    # Records
    main = accelerator.is_main_process
    best = BestCheckpoint(best_path, validation_ids, read_best(best_path, "geometry"), METRIC, main)
    made_from = run_record(config_as_dict(cfg), input_hashes(objects, cfg.cache_dir), [cfg.initial_weights]) if main else {}
    log = RunLog(cfg.log_dir, "geometry", made_from, first_epoch if saved else None, main, step)
    sheet = ValidationSheet(log.folder, [item.files for item in task.validation_objects], cfg.sheet_objects, painted=False,
                            active=main)
    model, optimizer, loader = accelerator.prepare(task.model, optimizer, task.loader)
    plain_model = accelerator.unwrap_model(model)
    total_steps = cfg.num_epochs_stage1 * -(-len(loader) // cfg.gradient_accumulation_steps)
    facts = {"kind": "geometry", "cfg": cfg, "image_size": cfg.image_size, "metric_name": METRIC,
             "validation_ids": validation_ids, "training_ids": train_ids}

    # Loop
    task.prepare(plain_model)
    if start_score is None and validation_ids:
        start_score = score = judge_start(accelerator, task, plain_model, cfg.initial_weights or "untrained", best, log, facts)
    if not (cfg.resume or cfg.initial_weights):
        score = begin_with_mean_shape(accelerator, task, plain_model, score, best, facts)
    average = weight_average(plain_model, cfg.average_weights, saved)
    judged = average.model if average else plain_model

    def save_last(done, **within):
        save_model(accelerator, last_path, model=plain_model, epoch=done, score=score, start_score=start_score,
                   optimizer=optimizer.state_dict(), step=step, average=average and average.state(), **within, **facts)

    if not saved:
        move_aside(last_path, accelerator)
        save_last(0)
    signals = note_signals()  # from here on they end the run after a step, saved
    model.train()
    for epoch in range(first_epoch, cfg.num_epochs_stage1):
        meter = StepMeter()
        bar = progress(batches_to_do(accelerator, loader, epoch, meter, saved), epoch, cfg.num_epochs_stage1, log.active)
        for batch in meter.timed(bar):
            with accelerator.accumulate(model):
                rate = learning_rate_at(step, total_steps, cfg.learning_rate_stage1, cfg.warmup_fraction)
                set_learning_rate(optimizer, rate)
                total, parts = task.losses(model, batch, epoch)
                check_finite(total, parts, step, batch["id"])
                accelerator.backward(total)
                measured = {"loss": total, **parts}
                if accelerator.sync_gradients:
                    measured["gradient_norm"] = accelerator.clip_grad_norm_(model.parameters(), cfg.gradient_clip)
                    step += 1
                optimizer.step()
                optimizer.zero_grad()
                if average and accelerator.sync_gradients:
                    average.update(plain_model)
            meter.step_done(**measured)
            show_losses(bar, {"loss": total, **parts}, cfg.num_epochs_stage1 - epoch)
            if accelerator.sync_gradients and cfg.log_every and step % cfg.log_every == 0:
                log.write_step(epoch + 1, step, learning_rate=rate, **meter.recent_means(accelerator))
            if accelerator.sync_gradients and meter.batches < len(loader) and asked_to_stop(signals, accelerator):
                save_last(epoch, batch=meter.batches, meter=meter.state(accelerator))
                raise stopped(signals, last_path, epoch, step)

        # Validate, save, record
        done, left, means = epoch + 1, cfg.num_epochs_stage1 - epoch - 1, meter.epoch_means(accelerator)
        record = {"step": step, "learning_rate": rate, **means, "seconds": meter.seconds()}
        line = f"epoch {done}: " + ", ".join(f"{name} {means[name]:.5f}" for name in ("loss", *parts))
        if validation_ids and (done % cfg.validate_every == 0 or not left):
            score = record["validation"] = validation_mean(judged, task.validation_loader, task.validation_score, accelerator)
            better = keep_if_better(accelerator, best, judged, done, score, facts)
            line += f", validation {score:.5f}{' (best)' if better else ''}"
            show_objects(sheet, log, task, judged, done, score, last=not left)
        log.write(done, **record)
        save_last(done)  # after the log, whose lines beyond what is saved a resumed run drops
        print(f"{line}, {duration(left * record['seconds'])} to go" if left else line)
        if left and asked_to_stop(signals, accelerator):
            raise stopped(signals, last_path, done, step)
    end_run(accelerator, best, last_path, judged, cfg.num_epochs_stage1, first_epoch, "num_epochs_stage1", facts)
    return {"start": start_score, "best": best.score if validation_ids else None, "last": score}


def begin_with_mean_shape(accelerator: Accelerator, task: "PointsTask", model: GeometryModel, score: float | None,
                          best: BestCheckpoint, facts: dict) -> float | None:
    """Let a new model predict the mean training shape, whatever the images, which competes for best.

    Args:
        score: of the untrained model; None without validation objects; facts: as for save_model.
    Returns:
        float, the score of what training begins with, as far as it is kept: the mean shape's if it is the better one.
    """
    task.fit_mean_shape(model)
    mean = validation_mean(model, task.validation_loader, task.validation_score, accelerator)
    if mean is None:
        return score
    print(f"mean training shape, whatever the images: validation {mean:.5f}")
    return mean if keep_if_better(accelerator, best, model, 0, mean, facts) else score


class PointsTask:
    """What training knows beside the order of its steps: images alone, in any order, to the vertices of a closed mesh.

    Args:
        cfg: Config.
        accelerator: accelerate.Accelerator.
        train_objects, validation_objects: lists of CachedObject.
    """

    def __init__(self, cfg: Config, accelerator: Accelerator, train_objects: list[CachedObject],
                 validation_objects: list[CachedObject]) -> None:
        if not train_objects:
            raise UserError("no object is left to train on: --split_file holds out all of them")
        self.cfg, self.accelerator, self.device = cfg, accelerator, accelerator.device
        encoder, self.image_size = load_encoder(cfg)
        self.frozen = encoder.frozen  # its features are cached, so the loop reads no images
        self.pooled = {}  # (id, variant): features of a frozen encoder
        self.model = GeometryModel(encoder, num_points=cfg.num_points, decoder_hidden=tuple(cfg.decoder_hidden),
                                   aggregate_dim=cfg.aggregate_dim)
        self.weights = {name: getattr(cfg, f"lambda_{name}")
                        for name in ("chamfer", "coverage", "laplacian", "edge", "normal")}
        self.train_set = SixViewDataset(train_objects, cfg.augment_turns)
        self.validation_set = SixViewDataset(validation_objects)
        self.loop_set = SixViewDataset(train_objects, cfg.augment_turns, with_images=not self.frozen)
        self.loader = make_loader(self.loop_set, cfg.batch_size_stage1, shuffle=True, seed=cfg.seed,
                                  num_workers=cfg.num_workers, augmentations=cfg.augmentations, fresh=not self.frozen)
        self.validation_objects = validation_objects
        own_share = validation_objects[accelerator.process_index::accelerator.num_processes]
        self.validation_loader = make_loader(SixViewDataset(own_share, with_images=not self.frozen),
                                             cfg.batch_size_stage1, shuffle=False, seed=cfg.seed,
                                             num_workers=cfg.num_workers)

    def prepare(self, model: GeometryModel) -> None:
        """Before anything is predicted: a frozen encoder sees every image once, a new model takes its statistics."""
        if self.frozen:
            seen = cached_features(model.encoder, self.train_set, 1 + self.cfg.augmentations, self.cfg.cache_dir,
                                   self.accelerator)
            held_out = cached_features(model.encoder, self.validation_set, 1, self.cfg.cache_dir, self.accelerator)
            self.pooled = seen | held_out
        else:  # one that is trained only takes the statistics of its start
            few = Subset(self.train_set, range(min(len(self.train_set), STATISTICS_OBJECTS)))
            seen = encode_dataset(model.encoder, make_loader(few, 8, shuffle=False, seed=0), self.device)
        if not (self.cfg.resume or self.cfg.initial_weights):
            model.aggregator.set_statistics(torch.cat(list(seen.values())))

    def fit_mean_shape(self, model: GeometryModel) -> None:
        """Move the decoder's bias to the shape that fits all training objects best, before any image is looked at.

        Otherwise the first hundred steps, whose gradients all point to that mean shape, drive the hidden features of
        all objects towards one value.
        """
        start = model.decoder.start
        offsets = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([offsets])
        for step in range(MEAN_SHAPE_STEPS):
            generators = [sample_generator(self.cfg.seed, "mean shape", step * MEAN_SHAPE_OBJECTS + i)
                          for i in range(MEAN_SHAPE_OBJECTS)]
            chosen = [int(torch.randint(len(self.loop_set), (), generator=generator)) for generator in generators]
            points = torch.stack([self.loop_set[index]["points"] for index in chosen])
            vertices = (start + offsets).expand(len(chosen), -1, -1)
            total, _ = self._loss(model, vertices, points, generators, self.weights)
            optimizer.param_groups[0]["lr"] = learning_rate_at(step, MEAN_SHAPE_STEPS, MEAN_SHAPE_RATE, 0.05)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        with torch.no_grad():
            model.decoder.head.bias.copy_(offsets.reshape(-1))
        broadcast(model.decoder.head.bias.data)  # sums on GPUs may differ in the last bit between processes

    def losses(self, network: nn.Module, batch: dict, epoch: int | str,
               weights: dict | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one batch: scalar, and its parts as models.losses.geometry_loss names them.

        What is random in it depends on the seed, the epoch and each object's id alone.
        """
        generators = [sample_generator(self.cfg.seed, epoch, object_id) for object_id in batch["id"]]
        keys = zip(batch["id"], batch["variant"].tolist())
        views = [self.pooled[key] for key in keys] if self.frozen else batch["images"].cpu()
        # The aggregation sorts over the views, so their order changes no bit; shuffled, it could not come to matter
        views = shuffled_views(views, generators).to(self.device)
        vertices = network(None, pooled=views) if self.frozen else network(views)
        model = self.accelerator.unwrap_model(network)
        return self._loss(model, vertices, batch["points"].cpu(), generators, weights or self.weights)

    def validation_score(self, model: nn.Module, batch: dict) -> Tensor:
        """Chamfer distance of one batch, at the same points every time: scalar."""
        only_chamfer = dict.fromkeys(self.weights, 0.0) | {"chamfer": 1.0}
        return self.losses(model, batch, "validation", only_chamfer)[1]["chamfer"]

    @torch.no_grad()
    def predicted_mesh(self, model: GeometryModel, number: int, views: SixViews) -> Mesh:
        """The mesh of a validation object, gray."""
        item = self.validation_set[number]
        model.eval()
        pooled = self.pooled[item["id"], 0][None].to(self.device) if self.frozen else None
        vertices = model(None if self.frozen else item["images"][None].to(self.device), pooled=pooled)[0]
        model.train()
        return plain_mesh(vertices.cpu().numpy(), model.faces.cpu().numpy())

    def _loss(self, model, vertices, points, generators, weights):
        points, = subsample_points([points], self.cfg.num_loss_samples, generators)
        noise = uniform_noise(self.cfg.num_loss_samples, 3, generators).to(vertices.device)
        return geometry_loss(vertices, model.template, points.to(vertices.device), noise, weights)


def main(argv: list[str]) -> None:
    cfg = parse_config(argv, __doc__.splitlines()[0], "geometry")
    with out_of_memory_advice(lighter_training(cfg, "geometry")):
        train(cfg)


if __name__ == "__main__":
    run_script(main)

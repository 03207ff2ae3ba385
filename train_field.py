"""Stage 1, the better shapes: learn the occupancy of space from six named views.

    python train_field.py                                       # your data/OBJs, or the shipped sample shoes
    python train_field.py --field_generated 2000 --num_workers 8
    python train_field.py --resume                              # go on from checkpoints/geometry_field_last.pth
    python train_field.py --initial_weights checkpoints/pretrained/geometry_field_best.pth
    torchrun --nproc_per_node 2 train_field.py                  # several processes

Writes checkpoints/geometry_field_best.pth (best on objects held out of training) and geometry_field_last.pth, and to
logs/geometry_field.jsonl one JSON line per epoch and per --log_every steps.
"""
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from config import PRETRAINED_DIR, Config, UserError, config_as_dict, counted, parse_config, run_script
from load_data import FieldDataset, FieldObject, prepare_field_objects
from models.field_model import FieldModel, field_loss, field_on_grid, load_field_model, up_to_date
from models.view_cameras import augment_space, random_colors, stack_cameras, transform_box, transform_points
from utils.device import lighter_training, out_of_memory_advice
from utils.evaluation.validation_sheet import ValidationSheet, mesh_of_field
from utils.io.files import content_hash
from utils.mesh.mesh import Mesh
from utils.multiview.view_maps import MAP_SIZE
from utils.output.provenance import run_record
from utils.training.best_checkpoint import BestCheckpoint, read_best
from utils.training.interruption import asked_to_stop, note_signals, signals_restored, stopped
from utils.training.judging import end_run, judge_start, keep_if_better, show_objects, validation_mean
from utils.training.loop import (
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
    silence_other_ranks,
    subsample_points,
    take_weights,
    weight_average,
    where_it_stopped,
)
from utils.training.run_log import RunLog, StepMeter
from utils.training_data.echo import echoed
from utils.training_data.loader import make_loader
from utils.training_data.object_cache import input_hashes
from utils.training_data.splits import split_of_run
from utils.views.six_views import SixViews

# What a validation score measures: scores of other metrics are not compared with it
METRIC = "occupancy, thin walls counted"
SHIPPED = Path(__file__).parent / PRETRAINED_DIR / "geometry_field_best.pth"


def train(cfg: Config) -> dict:
    """Train the field model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation losses: `start` (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, device or checkpoint are not as needed, or the loss is no longer finite.
    """
    accelerator = prepare_run(cfg)
    with silence_other_ranks(accelerator), one_run_at_a_time(cfg, "geometry_field", accelerator), signals_restored():
        return train_on(accelerator, cfg)


def train_on(accelerator: Accelerator, cfg: Config) -> dict:
    """`train` on a device that is ready."""
    # What a stopped run left
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"geometry_field_{which}.pth" for which in ("last", "best"))
    saved = saved_run(cfg, last_path, "field")
    first_epoch, step, start_score, score = where_it_stopped(saved)

    # Data and model
    with accelerator.main_process_first():
        objects, cached = prepare_field_objects(cfg, quiet=not accelerator.is_main_process)
    train_ids, validation_ids = split_of_run(cfg, [item.id for item in objects], saved, last_path)
    generated = f" and {counted(cfg.field_generated, 'generated one')}" if cfg.field_generated else ""
    print(f"training on {counted(len(train_ids), 'object')}{generated}, validating on {len(validation_ids)} not trained on")
    own_share = [cached[name] for name in validation_ids[accelerator.process_index::accelerator.num_processes]]
    task = FieldTask(cfg, accelerator.device, [cached[name] for name in train_ids], own_share)
    optimizer = make_optimizer(task.model, cfg.weight_decay)
    take_weights(cfg, saved, last_path, "field", task.model, optimizer, task.up_to_date)

    # Records
    main = accelerator.is_main_process
    best = BestCheckpoint(best_path, validation_ids, read_best(best_path, "field"), METRIC, main)
    made_from = run_record(config_as_dict(cfg), input_hashes(objects, cfg.cache_dir), [cfg.initial_weights]) if main else {}
    log = RunLog(cfg.log_dir, "geometry_field", made_from, first_epoch if saved else None, main, step)
    sheet = ValidationSheet(log.folder, [item.files for item in task.validation_objects], cfg.sheet_objects, painted=True,
                            active=main)
    model, optimizer, loader = accelerator.prepare(task.model, optimizer, task.loader)
    loader = echoed(loader, cfg.field_echo, cfg.batch_size_stage1, cfg.seed)
    plain_model = accelerator.unwrap_model(model)
    total_steps = cfg.num_epochs_stage1 * -(-len(loader) // cfg.gradient_accumulation_steps)
    average = weight_average(plain_model, cfg.average_weights, saved)
    judged = average.model if average else plain_model
    facts = {"kind": "field", "cfg": cfg, "image_size": 2 * MAP_SIZE, "metric_name": METRIC, "training_ids": train_ids,
             "validation_ids": validation_ids, "shipped_field": saved.get("shipped_field") or judge_shipped(task, accelerator)}

    # Loop
    if start_score is None and validation_ids:
        start_score = score = judge_start(accelerator, task, plain_model, cfg.initial_weights or "untrained", best, log, facts)

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
                rate = learning_rate_at(step, total_steps, cfg.learning_rate_field, cfg.warmup_fraction)
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
    print(shipped_line(best, facts["shipped_field"]))
    return {"start": start_score, "best": best.score if validation_ids else None, "last": score}


def judge_shipped(task: "FieldTask", accelerator: Accelerator) -> dict | None:
    """The score of the shipped field on this run's held-out objects, by which inference chooses between the two.

    Returns:
        dict of the file's content (hash) and its score; None if there is no such file, or nothing is held out.
    """
    if not SHIPPED.is_file():
        return None
    model = load_field_model(SHIPPED)[0].to(task.device)
    score = validation_mean(model, task.validation_loader, task.validation_score, accelerator)
    return None if score is None else {"content": content_hash([SHIPPED]), "score": score}


def shipped_line(best: BestCheckpoint, shipped: dict | None) -> str:
    """What a finished run says of the field that inference will use."""
    if shipped is None:
        return f"not compared with the shipped field: inference uses this one with --geometry_checkpoint {best.path}"
    if best.score < shipped["score"]:
        return f"the shipped field has {shipped['score']:.5f} on the same objects: inference will use yours"
    return (f"the shipped field has {shipped['score']:.5f} on the same objects: inference goes on using that one, or yours "
            f"with --geometry_checkpoint {best.path}")


class FieldTask:
    """What the field's training knows beside the order of its steps: the model, its batches, its loss.

    Args:
        cfg: Config.
        device: torch.device of the losses.
        train_objects: list of FieldObject to train on; generated ones come to them.
        validation_objects: list of FieldObject, this process's fraction of those held out.
    """

    def __init__(self, cfg: Config, device: torch.device, train_objects: list[FieldObject],
                 validation_objects: list[FieldObject]) -> None:
        self.cfg, self.device, self.validation_objects = cfg, device, validation_objects
        self.model = FieldModel(grid_size=cfg.field_grid, volume_widths=tuple(cfg.field_widths),
                                use_color=cfg.field_color, image_widths=[width for width in cfg.field_image_widths if width])
        self.up_to_date = partial(up_to_date, image_widths=self.model.sizes["image_widths"])  # weights of earlier models
        dataset = FieldDataset(train_objects, cfg.field_generated, cfg.seed, cfg.cache_dir)
        if not len(dataset):
            raise UserError("no object is left to train on: name some in --split_file, or give --field_generated")
        # To be echoed, items come one by one: no process waits for a whole batch
        self.loader = make_loader(dataset, 1 if cfg.field_echo > 1 else cfg.batch_size_stage1, shuffle=True, seed=cfg.seed,
                                  num_workers=cfg.num_workers, augmentations=cfg.field_variants)
        self.validation_loader = make_loader(FieldDataset(validation_objects), cfg.batch_size_stage1, shuffle=False,
                                             seed=cfg.seed, num_workers=cfg.num_workers)

    def losses(self, network: nn.Module, batch: dict, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one batch, its space and its colors changed at random: scalar, and its parts: none.

        What is random in it depends on the seed, the epoch (and how often a batch was echoed in it) and each object's id.
        """
        generators = self._generators(batch, f"{epoch}.{batch['echo']}" if batch.get("echo") else epoch)
        points, distances, bands = self._chosen_points(batch, generators)
        maps, box = batch["maps"].to(self.device).float(), batch["box"].to(self.device)
        matrix, cameras = augment_space(box, generators, self.cfg.field_stretch, self._cameras(batch))
        points, box = transform_points(points, matrix), transform_box(box, matrix)
        longer = matrix.det().abs().pow(1 / 3)[:, None]  # about right for lengths in a stretched object
        output, hull = network(points, random_colors(maps, generators), cameras, box)
        return field_loss(output, distances * longer, hull, bands * longer), {}

    def validation_score(self, model: nn.Module, batch: dict) -> Tensor:
        """Loss of one batch as it is, at the same points every time: scalar."""
        points, distances, bands = self._chosen_points(batch, self._generators(batch, "validation"))
        maps, box = batch["maps"].to(self.device).float(), batch["box"].to(self.device)
        output, hull = model(points, maps, self._cameras(batch), box)
        return field_loss(output, distances, hull, bands)

    def predicted_mesh(self, model: FieldModel, number: int, views: SixViews) -> Mesh | None:
        """What the model makes of a validation object by itself, painted with the images."""
        model.eval()
        mesh = mesh_of_field(views, partial(field_on_grid, model))
        model.train()
        return mesh

    def _cameras(self, batch):
        parts = (batch[name] for name in ("bases", "inverse_distances", "scales", "shifts", "measured", "present"))
        return stack_cameras(*(part.to(self.device) for part in parts))

    def _generators(self, batch, epoch):
        return [sample_generator(self.cfg.seed, epoch, object_id) for object_id in batch["id"]]

    def _chosen_points(self, batch, generators):
        arrays = [batch["points"], *(batch[name].float().unsqueeze(-1) for name in ("distances", "bands"))]
        points, distances, bands = subsample_points(arrays, self.cfg.field_points, generators)
        return points.to(self.device), distances.squeeze(-1).to(self.device), bands.squeeze(-1).to(self.device)


def main(argv: list[str]) -> None:
    cfg = parse_config(argv, __doc__.splitlines()[0], "field")
    with out_of_memory_advice(lighter_training(cfg, "field")):
        train(cfg)


if __name__ == "__main__":
    run_script(main)

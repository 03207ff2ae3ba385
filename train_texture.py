"""Stage 2: learn to color the meshes that stage 1 predicts.

    python train_texture.py                                     # after train_geometry.py, on the same data
    python train_texture.py --preset fast --num_epochs_stage2 2
    python train_texture.py --resume                            # go on from checkpoints/texture_last.pth

The geometry model is frozen: a point of its predicted surface shall get the color of the nearest point of the true
one. Writes checkpoints/texture_best.pth, texture_last.pth, and logs/texture.jsonl.
"""
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Subset

from config import PRETRAINED_DIR, Config, UserError, config_as_dict, counted, parse_config, run_script
from load_data import CachedObject, SixViewDataset, prepare_objects
from models.encoder import cached_features, copy_encoder, encode_dataset, load_encoder
from models.geometry_model import GeometryModel, load_geometry_model
from models.losses import color_loss, draw_colors, feature_distance, gather_points, sample_faces, smoothness_loss
from models.texture_model import TextureModel
from utils.device import lighter_training, out_of_memory_advice
from utils.evaluation.validation_sheet import ValidationSheet
from utils.mesh.mesh import Mesh, colored_mesh
from utils.mesh.nearest import nearest_index
from utils.output.provenance import run_record
from utils.rendering.pixel_map import pixel_corners
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
    resume,
    sample_generator,
    save_model,
    saved_run,
    set_learning_rate,
    show_losses,
    shuffled_views,
    silence_other_ranks,
    uniform_noise,
    where_it_stopped,
)
from utils.training.run_log import RunLog, StepMeter
from utils.training_data.loader import make_loader
from utils.training_data.object_cache import input_hashes
from utils.training_data.splits import split_of_run
from utils.views.six_views import SixViews

METRIC = "l1l2"  # what a validation score measures: scores of other metrics are not compared with it


def train(cfg: Config) -> dict:
    """Train the texture model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation color losses: `start` (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, geometry checkpoint, device are not as needed, or the loss is no longer finite.
    """
    accelerator = prepare_run(cfg)
    with silence_other_ranks(accelerator), one_run_at_a_time(cfg, "texture", accelerator), signals_restored():
        return train_on(accelerator, cfg)


def train_on(accelerator: Accelerator, cfg: Config) -> dict:
    """`train` on a device that is ready."""
    # What a stopped run left
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"texture_{which}.pth" for which in ("last", "best"))
    saved = saved_run(cfg, last_path, "texture")
    first_epoch, step, start_score, score = where_it_stopped(saved)

    # Data and models
    geometry, image_size = load_frozen_geometry(cfg)
    cfg = replace(cfg, image_size=image_size)
    with accelerator.main_process_first():
        objects, cached = prepare_objects(cfg, quiet=not accelerator.is_main_process)
    train_ids, validation_ids = split_of_run(cfg, [item.id for item in objects], saved, last_path)
    print(f"training on {counted(len(train_ids), 'object')}, validating on {len(validation_ids)} not trained on")
    task = TextureTask(cfg, accelerator, geometry, [cached[name] for name in train_ids],
                       [cached[name] for name in validation_ids])
    optimizer = make_optimizer(task.model, cfg.weight_decay, cfg.encoder_learning_rate_scale)
    if saved:
        resume(saved, last_path, task.model, optimizer)

    # Records
    main = accelerator.is_main_process
    best = BestCheckpoint(best_path, validation_ids, read_best(best_path, "texture"), METRIC, main)
    made_from = run_record(config_as_dict(cfg), input_hashes(objects, cfg.cache_dir), [find_geometry(cfg)]) if main else {}
    log = RunLog(cfg.log_dir, "texture", made_from, first_epoch if saved else None, main, step)
    sheet = ValidationSheet(log.folder, [item.files for item in task.validation_objects], cfg.sheet_objects, painted=True,
                            active=main)
    model, optimizer, loader = accelerator.prepare(task.model, optimizer, task.loader)
    plain_model = accelerator.unwrap_model(model)
    total_steps = cfg.num_epochs_stage2 * -(-len(loader) // cfg.gradient_accumulation_steps)
    facts = {"kind": "texture", "cfg": cfg, "image_size": cfg.image_size, "metric_name": METRIC,
             "validation_ids": validation_ids, "training_ids": train_ids}

    # Loop
    task.prepare(plain_model)
    if start_score is None and validation_ids:
        start_score = score = judge_start(accelerator, task, plain_model, "untrained", best, log, facts)

    def save_last(done, **within):
        save_model(accelerator, last_path, model=plain_model, epoch=done, score=score, start_score=start_score,
                   optimizer=optimizer.state_dict(), step=step, **within, **facts)

    if not saved:
        move_aside(last_path, accelerator)
        save_last(0)
    signals = note_signals()  # from here on they end the run after a step, saved
    model.train()
    for epoch in range(first_epoch, cfg.num_epochs_stage2):
        meter = StepMeter()
        bar = progress(batches_to_do(accelerator, loader, epoch, meter, saved), epoch, cfg.num_epochs_stage2, log.active)
        for batch in meter.timed(bar):
            with accelerator.accumulate(model):
                rate = learning_rate_at(step, total_steps, cfg.learning_rate_stage2, cfg.warmup_fraction)
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
            meter.step_done(**measured)
            show_losses(bar, {"loss": total, **parts}, cfg.num_epochs_stage2 - epoch)
            if accelerator.sync_gradients and cfg.log_every and step % cfg.log_every == 0:
                log.write_step(epoch + 1, step, learning_rate=rate, **meter.recent_means(accelerator))
            if accelerator.sync_gradients and meter.batches < len(loader) and asked_to_stop(signals, accelerator):
                save_last(epoch, batch=meter.batches, meter=meter.state(accelerator))
                raise stopped(signals, last_path, epoch, step)

        # Validate, save, record
        done, left, means = epoch + 1, cfg.num_epochs_stage2 - epoch - 1, meter.epoch_means(accelerator)
        record = {"step": step, "learning_rate": rate, **means, "seconds": meter.seconds()}
        line = f"epoch {done}: " + ", ".join(f"{name} {means[name]:.5f}" for name in ("loss", *parts))
        if validation_ids and (done % cfg.validate_every == 0 or not left):
            score = record["validation"] = validation_mean(plain_model, task.validation_loader, task.validation_score,
                                                           accelerator)
            better = keep_if_better(accelerator, best, plain_model, done, score, facts)
            line += f", validation {score:.5f}{' (best)' if better else ''}"
            show_objects(sheet, log, task, plain_model, done, score, last=not left)
        log.write(done, **record)
        save_last(done)  # after the log, whose lines beyond what is saved a resumed run drops
        print(f"{line}, {duration(left * record['seconds'])} to go" if left else line)
        if left and asked_to_stop(signals, accelerator):
            raise stopped(signals, last_path, done, step)
    end_run(accelerator, best, last_path, plain_model, cfg.num_epochs_stage2, first_epoch, "num_epochs_stage2", facts)
    return {"start": start_score, "best": best.score if validation_ids else None, "last": score}


class TextureTask:
    """What training knows beside the order of its steps: a frozen geometry, and colors for the surfaces it predicts.

    The texture model starts from a copy of the geometry's encoder and aggregation unless the user named an encoder.

    Args:
        cfg: Config, its image_size the geometry's.
        accelerator: accelerate.Accelerator.
        geometry: GeometryModel, frozen.
        train_objects, validation_objects: lists of CachedObject.
    """

    def __init__(self, cfg: Config, accelerator: Accelerator, geometry: GeometryModel,
                 train_objects: list[CachedObject], validation_objects: list[CachedObject]) -> None:
        if not train_objects:
            raise UserError("no object is left to train on: --split_file holds out all of them")
        self.cfg, self.accelerator, self.device = cfg, accelerator, accelerator.device
        self.geometry, self.template = geometry.to(self.device), geometry.template
        self.named_encoder = "encoder_name" in cfg.explicit
        encoder = load_encoder(cfg)[0] if self.named_encoder else copy_encoder(
            geometry.encoder, frozen=cfg.freeze_image_encoder, gradient_checkpointing=cfg.gradient_checkpointing)
        self.model = TextureModel(encoder, aggregate_dim=geometry.sizes["aggregate_dim"], hidden=cfg.texture_hidden,
                                  num_layers=cfg.texture_layers, num_frequencies=cfg.texture_frequencies)
        if not self.named_encoder:
            self.model.aggregator.load_state_dict(geometry.aggregator.state_dict())
        self.frozen = encoder.frozen  # its features are cached, so only the perceptual loss still reads images
        self.train_set = SixViewDataset(train_objects, cfg.augment_turns)
        self.validation_set = SixViewDataset(validation_objects)
        loop_set = SixViewDataset(train_objects, cfg.augment_turns, not self.frozen or cfg.lambda_perceptual > 0)
        self.loader = make_loader(loop_set, cfg.batch_size_stage2, shuffle=True, seed=cfg.seed,
                                  num_workers=cfg.num_workers, augmentations=cfg.augmentations, fresh=not self.frozen)
        self.validation_objects = validation_objects
        own_share = validation_objects[accelerator.process_index::accelerator.num_processes]
        self.validation_loader = make_loader(SixViewDataset(own_share, with_images=not self.frozen),
                                             cfg.batch_size_stage2, shuffle=False, seed=cfg.seed,
                                             num_workers=cfg.num_workers)
        self.pooled, self.seen_by_geometry = {}, {}  # (id, variant): features of frozen encoders
        self.shapes = {}  # the geometry model never changes, so it predicts each object's vertices once: id to (N, 3)

    def prepare(self, model: TextureModel) -> None:
        """A frozen encoder sees every image once; one that the geometry was not trained with sets its statistics."""
        sets = ((self.train_set, 1 + self.cfg.augmentations), (self.validation_set, 1))
        if self.frozen:
            first = cached_features(model.encoder, *sets[0], self.cfg.cache_dir, self.accelerator)
            self.pooled = first | cached_features(model.encoder, *sets[1], self.cfg.cache_dir, self.accelerator)
            for dataset, variants in sets:
                self.seen_by_geometry |= cached_features(self.geometry.encoder, dataset, variants, self.cfg.cache_dir,
                                                         self.accelerator)
        elif self.named_encoder:
            few = Subset(self.train_set, range(min(len(self.train_set), STATISTICS_OBJECTS)))
            first = encode_dataset(model.encoder, make_loader(few, 8, shuffle=False, seed=0), self.device)
        if self.named_encoder and not self.cfg.resume:
            model.aggregator.set_statistics(torch.cat(list(first.values())))

    def losses(self, network: nn.Module, batch: dict, epoch: int | str,
               perceptual: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one batch: scalar, and its parts l1l2, smooth, perceptual as far as their weights are above 0.

        What is random in it depends on the seed, the epoch and each object's id alone.
        """
        cfg = self.cfg
        generators = [sample_generator(cfg.seed, epoch, object_id) for object_id in batch["id"]]
        keys = list(zip(batch["id"], batch["variant"].tolist()))
        images = batch["images"].to(self.device) if "images" in batch else [None] * len(keys)
        vertices, positions, true_colors = self._targets(batch, keys, images, generators)
        views = [self.pooled[key] for key in keys] if self.frozen else batch["images"].cpu()
        # The aggregation sorts over the views, so their order changes no bit; shuffled, it could not come to matter
        views = shuffled_views(views, generators).to(self.device)
        colors = network(None, positions, pooled=views) if self.frozen else network(views, positions)
        vertex_colors = colors[:, :vertices.shape[1]]
        parts = {"l1l2": color_loss(colors, true_colors)}
        if cfg.lambda_smooth:
            parts["smooth"] = smoothness_loss(vertex_colors, self.template["edges"])
        if perceptual and cfg.lambda_perceptual:
            parts["perceptual"] = self._perceptual_loss(vertices, vertex_colors, images)
        return sum(getattr(cfg, f"lambda_{name}") * part for name, part in parts.items()), parts

    def validation_score(self, model: nn.Module, batch: dict) -> Tensor:
        """Color loss of one batch, at the same points every time: scalar."""
        return self.losses(model, batch, "validation", perceptual=False)[1]["l1l2"]

    @torch.no_grad()
    def predicted_mesh(self, model: TextureModel, number: int, views: SixViews) -> Mesh:
        """The mesh that the geometry model predicts for a validation object, in the colors of its vertices."""
        item = self.validation_set[number]
        key, images = (item["id"], 0), item["images"].to(self.device)
        vertices = self._shape_of(key, images).to(self.device)
        pooled = self.pooled[key][None].to(self.device) if self.frozen else None
        model.eval()
        colors = model(None if self.frozen else images[None], vertices[None], pooled=pooled)[0]
        model.train()
        return colored_mesh(vertices.cpu().numpy(), self.template["faces"].cpu().numpy(), colors.cpu().numpy())

    @torch.no_grad()
    def _targets(self, batch, keys, images, generators):
        """Predicted vertices (B, N, 3), positions (B, P, 3) to color, and the true colors (B, P, 3) nearest to them."""
        vertices = torch.stack([self._shape_of(key, views) for key, views in zip(keys, images)]).to(self.device)
        noise = uniform_noise(self.cfg.num_loss_samples, 3, generators).to(self.device)
        positions = sample_faces(vertices, self.template["faces"], noise)
        if self.cfg.lambda_smooth or self.cfg.lambda_perceptual:  # these two need colors at the vertices
            positions = torch.cat([vertices, positions], dim=1)
        nearest = nearest_index(positions, batch["points"].to(self.device))
        return vertices, positions, gather_points(batch["colors"].to(self.device), nearest)

    def _shape_of(self, key, images):
        """Vertices (N, 3) that the geometry model predicts for (id, variant), one by one: in a batch the last bits
        depend on the company. Only objects as they are will come again for sure, so only theirs are kept."""
        if key in self.shapes:
            return self.shapes[key]
        seen = self.seen_by_geometry[key][None].to(self.device) if self.frozen else None
        vertices = self.geometry(None if self.frozen else images[None], pooled=seen)[0].cpu()
        if key[1] == 0:
            self.shapes[key] = vertices
        return vertices

    def _perceptual_loss(self, vertices, vertex_colors, images):
        """Drawn images beside the true ones, as the geometry encoder sees them, which does not move."""
        corners, weights = pixel_corners(vertices.cpu().numpy(), self.template["faces"].cpu().numpy(),
                                         self.cfg.image_size)
        drawn = draw_colors(vertex_colors, torch.from_numpy(corners).to(self.device),
                            torch.from_numpy(weights).to(self.device))
        with self.accelerator.autocast():
            with torch.no_grad():
                true_tokens = self.geometry.encoder(images)[1]
            return feature_distance(self.geometry.encoder(drawn)[1], true_tokens)


def load_frozen_geometry(cfg: Config) -> tuple[GeometryModel, int]:
    """The geometry model to color, and the edge in pixels of the images it reads.

    Raises:
        UserError: the checkpoint cannot be used, or the user asked for another image size.
    """
    path = find_geometry(cfg)
    geometry, checkpoint = load_geometry_model(path)
    image_size = checkpoint["image_size"]
    if "image_size" in cfg.explicit and cfg.image_size != image_size:
        raise UserError(f"--image_size {cfg.image_size}: {path} reads images of {image_size} pixels")
    print(f"geometry: {path}, images of {image_size} px")
    return geometry, image_size


def find_geometry(cfg: Config) -> Path:
    """Path of the geometry checkpoint to color: the one named, else your own best, else the shipped one."""
    if cfg.geometry_checkpoint:
        return Path(cfg.geometry_checkpoint)
    own = Path(cfg.checkpoint_dir) / "geometry_best.pth"
    return own if own.is_file() else Path(__file__).parent / PRETRAINED_DIR / "geometry_best.pth"


def main(argv: list[str]) -> None:
    cfg = parse_config(argv, __doc__.splitlines()[0], "texture")
    with out_of_memory_advice(lighter_training(cfg, "texture")):
        train(cfg)


if __name__ == "__main__":
    run_script(main)

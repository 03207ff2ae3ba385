"""Stage 2: learn to color the meshes that stage 1 predicts.

    python train_texture.py                                     # after train_geometry.py, on the same data
    python train_texture.py --preset fast --num_epochs_stage2 2
    python train_texture.py --resume                            # go on from checkpoints/texture_last.pth

The geometry model is frozen: a point of its predicted surface is to have the color of the nearest point of the true
one. Writes checkpoints/texture_best.pth, texture_last.pth, and logs/texture.jsonl.
"""
import time
from dataclasses import replace
from pathlib import Path

from config import PRETRAINED_DIR, UserError, config_as_dict, parse_config, run_script


def train(cfg):
    """Train the texture model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation color losses: `start` (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, geometry checkpoint, device are not as needed, or the loss is no longer finite.
    """
    import torch
    from torch.utils.data import Subset
    from tqdm import tqdm

    from load_data import SixViewDataset, make_loader, prepare_objects, split_objects
    from models.encoder import cached_features, copy_encoder, encode_dataset, load_encoder
    from models.geometry_model import load_geometry_model
    from models.losses import color_loss, draw_colors, feature_distance, gather_points, sample_faces, smoothness_loss
    from models.texture_model import TextureModel
    from utils.device import make_accelerator
    from utils.io.checkpoint import load_checkpoint, load_weights, save_checkpoint, stored_weights
    from utils.io.files import check_writable
    from utils.mesh.nearest import nearest_index
    from utils.rendering.pixel_map import pixel_corners
    from utils.training.best_checkpoint import BestCheckpoint
    from utils.training.loop import (
        STATISTICS_OBJECTS,
        check_finite,
        learning_rate_at,
        make_optimizer,
        sample_generator,
        seed_everything,
        set_learning_rate,
        shuffled_views,
        silence_other_ranks,
        uniform_noise,
    )
    from utils.training.run_log import RunLog

    # Device
    accelerator = make_accelerator(cfg.device, cfg.mixed_precision, cfg.gradient_accumulation_steps)
    silence_other_ranks(accelerator)
    device = accelerator.device
    for folder in (cfg.checkpoint_dir, cfg.log_dir):
        check_writable(folder)
    print(f"device: {device}, processes: {accelerator.num_processes}, precision: {cfg.mixed_precision}")
    seed_everything(cfg.seed)

    # Models: geometry is frozen, texture starts from a copy of its encoder unless the user named another one
    geometry_path = find_geometry(cfg)
    geometry, geometry_checkpoint = load_geometry_model(geometry_path)
    image_size = geometry_checkpoint["image_size"]
    if "image_size" in cfg.explicit and cfg.image_size != image_size:
        raise UserError(f"--image_size {cfg.image_size}: {geometry_path} reads images of {image_size} pixels")
    print(f"geometry: {geometry_path}, images of {image_size} px")
    cfg = replace(cfg, image_size=image_size)
    named_encoder = "encoder_name" in cfg.explicit
    encoder = load_encoder(cfg)[0] if named_encoder else copy_encoder(
        geometry.encoder, frozen=cfg.freeze_image_encoder, gradient_checkpointing=cfg.gradient_checkpointing)
    width = geometry.sizes["aggregate_dim"]
    model = TextureModel(encoder, aggregate_dim=width, hidden=cfg.texture_hidden, num_layers=cfg.texture_layers,
                         num_frequencies=cfg.texture_frequencies)
    if not named_encoder:
        model.aggregator.load_state_dict(geometry.aggregator.state_dict())
    geometry.to(device)
    template = geometry.template
    optimizer = make_optimizer(model, cfg.weight_decay, cfg.encoder_learning_rate_scale)

    # Data
    with accelerator.main_process_first():
        objects, cached = prepare_objects(cfg)
    train_ids, validation_ids = split_objects([item.id for item in objects], cfg.validation_fraction, cfg.seed,
                                              cfg.num_folds, cfg.fold, cfg.training_share)
    print(f"training on {len(train_ids)} objects, validating on {len(validation_ids)} that are not trained on")
    frozen = encoder.frozen  # its features are cached, so only the perceptual loss still reads images
    with_images = not frozen or cfg.lambda_perceptual > 0
    train_set = SixViewDataset([cached[name] for name in train_ids], cfg.augment_turns)
    loop_set = SixViewDataset(train_set.cached, cfg.augment_turns, with_images)
    loader = make_loader(loop_set, cfg.batch_size_stage2, shuffle=True, seed=cfg.seed, num_workers=cfg.num_workers,
                         augmentations=cfg.augmentations, fresh=not frozen)
    own_share = validation_ids[accelerator.process_index::accelerator.num_processes]
    validation_set = SixViewDataset([cached[name] for name in own_share], with_images=not frozen)
    validation_loader = make_loader(validation_set, cfg.batch_size_stage2, shuffle=False, seed=cfg.seed,
                                    num_workers=cfg.num_workers)

    # Resume
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"texture_{name}.pth" for name in ("last", "best"))
    first_epoch, step, start_score = 0, 0, None
    if cfg.resume:
        saved = load_checkpoint(last_path, "texture")
        load_weights(model, saved["weights"], last_path)
        optimizer.load_state_dict(saved["optimizer"])
        first_epoch, step, start_score = saved["epoch"], saved["step"], saved["start_score"]
        print(f"resumed from {last_path}: {first_epoch} epochs done")
    old_best = load_checkpoint(best_path, "texture") if best_path.is_file() else None
    keeper = BestCheckpoint(best_path, validation_ids, old_best)
    log = RunLog(cfg.log_dir, "texture", config_as_dict(cfg), first_epoch if cfg.resume else None,
                 accelerator.is_main_process)

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    plain_model = accelerator.unwrap_model(model)
    total_steps = cfg.num_epochs_stage2 * -(-len(loader) // cfg.gradient_accumulation_steps)

    # A frozen encoder sees every image once; one that the geometry was not trained with sets its statistics
    if frozen:
        pooled = cached_features(plain_model.encoder, train_set, 1 + cfg.augmentations, cfg.cache_dir, accelerator)
    elif named_encoder:
        seen = Subset(train_set, range(min(len(train_set), STATISTICS_OBJECTS)))
        pooled = encode_dataset(plain_model.encoder, make_loader(seen, 8, shuffle=False, seed=0), device)
    if named_encoder and not cfg.resume:
        plain_model.aggregator.set_statistics(torch.cat(list(pooled.values())))
    seen_by_geometry = {}
    if frozen:
        held_out = SixViewDataset([cached[name] for name in validation_ids])
        pooled |= cached_features(plain_model.encoder, held_out, 1, cfg.cache_dir, accelerator)
        for dataset, variants in ((train_set, 1 + cfg.augmentations), (held_out, 1)):
            seen_by_geometry |= cached_features(geometry.encoder, dataset, variants, cfg.cache_dir, accelerator)

    shapes = {}  # the geometry model never changes, so it predicts each object's vertices once: id to (N, 3)

    def shape_of(key, images):
        """Vertices (N, 3) that the geometry model predicts for (id, variant), one by one: in a batch the last bits
        depend on the company. Only objects as they are will come again for sure, so only theirs are kept."""
        if key in shapes:
            return shapes[key]
        seen = seen_by_geometry[key][None].to(device) if frozen else None
        vertices = geometry(None if frozen else images[None], pooled=seen)[0]
        if key[1] == 0:
            shapes[key] = vertices.cpu()
        return vertices.cpu()

    on_vertices = bool(cfg.lambda_smooth or cfg.lambda_perceptual)  # what these two losses need colors at

    def forward_losses(network, batch, epoch, perceptual):
        """Loss of one batch; what is random in it depends on the seed, the epoch and each object's id alone."""
        generators = [sample_generator(cfg.seed, epoch, object_id) for object_id in batch["id"]]
        keys = list(zip(batch["id"], batch["variant"].tolist()))
        images = batch["images"].to(device) if "images" in batch else [None] * len(keys)
        with torch.no_grad():
            vertices = torch.stack([shape_of(key, views) for key, views in zip(keys, images)]).to(device)
            draws = uniform_noise(cfg.num_loss_samples, 3, generators).to(device)
            positions = sample_faces(vertices, template["faces"], draws)
            if on_vertices:
                positions = torch.cat([vertices, positions], dim=1)
            nearest = nearest_index(positions, batch["points"].to(device))
            true_colors = gather_points(batch["colors"].to(device), nearest)
        views = [pooled[key] for key in keys] if frozen else batch["images"].cpu()
        views = shuffled_views(views, generators).to(device)
        colors = network(None, positions, pooled=views) if frozen else network(views, positions)
        vertex_colors = colors[:, :vertices.shape[1]]
        parts = {"l1l2": color_loss(colors, true_colors)}
        if cfg.lambda_smooth:
            parts["smooth"] = smoothness_loss(vertex_colors, template["edges"])
        if perceptual:
            # The drawn images and the true ones go through the frozen geometry encoder, which does not move.
            corners, pixel_weights = pixel_corners(vertices.cpu().numpy(), template["faces"].cpu().numpy(), image_size)
            drawn = draw_colors(vertex_colors, torch.from_numpy(corners).to(device),
                                torch.from_numpy(pixel_weights).to(device))
            with accelerator.autocast():
                with torch.no_grad():
                    true_tokens = geometry.encoder(images)[1]
                parts["perceptual"] = feature_distance(geometry.encoder(drawn)[1], true_tokens)
        return sum(getattr(cfg, f"lambda_{name}") * part for name, part in parts.items()), parts

    def validate():
        """Mean color loss on the held-out objects, with the same draws every time; None if there are none."""
        model.eval()
        total = torch.zeros(2, device=device)
        with torch.no_grad():
            for batch in validation_loader:
                # The bare model: processes may hold unequal numbers of batches, and the wrapped one would wait for more
                _, parts = forward_losses(plain_model, batch, "validation", perceptual=False)
                total += len(batch["id"]) * torch.stack([parts["l1l2"], torch.ones_like(parts["l1l2"])])
        model.train()
        total = accelerator.reduce(total)
        return float(total[0] / total[1]) if validation_ids else None

    def save(path, epoch, score, **training):
        if accelerator.is_main_process:
            save_checkpoint(path, "texture", model_args=plain_model.model_args(), weights=stored_weights(plain_model),
                            image_size=cfg.image_size, config=config_as_dict(cfg), epoch=epoch, score=score,
                            validation_ids=validation_ids, training_ids=train_ids, **training)

    # Loop
    score, improved = None, False
    if start_score is None and validation_ids:
        start_score = score = validate()
        log.write(0, validation=start_score)
        print(f"epoch 0 (untrained): validation {start_score:.5f}")
    model.train()
    for epoch in range(first_epoch, cfg.num_epochs_stage2):
        started, sums, batches = time.perf_counter(), {}, 0
        loader.set_epoch(epoch)
        bar = tqdm(loader, desc=f"epoch {epoch + 1}/{cfg.num_epochs_stage2}", leave=False,
                   disable=None if log.active else True)  # None: a bar on a terminal, none in a file
        for batch in bar:
            with accelerator.accumulate(model):
                rate = learning_rate_at(step, total_steps, cfg.learning_rate_stage2, cfg.warmup_fraction)
                set_learning_rate(optimizer, rate)
                total, parts = forward_losses(model, batch, epoch, perceptual=cfg.lambda_perceptual > 0)
                check_finite(total, parts, step, batch["id"])
                accelerator.backward(total)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), cfg.gradient_clip)
                    step += 1
                optimizer.step()
                optimizer.zero_grad()
            for name, part in {"loss": total, **parts}.items():
                sums[name] = sums.get(name, 0.0) + part.detach()
            batches += 1
        means = {name: float(accelerator.reduce(value, "mean")) / batches for name, value in sums.items()}

        # Validate, save, record
        done = epoch + 1
        record = {"step": step, "learning_rate": rate, **means, "seconds": time.perf_counter() - started}
        line = f"epoch {done}: " + ", ".join(f"{name} {value:.5f}" for name, value in means.items())
        if validation_ids and (done % cfg.validate_every == 0 or done == cfg.num_epochs_stage2):
            score = record["validation"] = validate()
            line += f", validation {score:.5f}"
            if keeper.improves(score):
                save(best_path, done, score)
                improved = True
                line += " (best)"
        save(last_path, done, score, optimizer=optimizer.state_dict(), step=step, start_score=start_score)
        log.write(done, **record)
        print(line)
    if not validation_ids and first_epoch < cfg.num_epochs_stage2:
        save(best_path, cfg.num_epochs_stage2, None)
        print("no objects were held out, so best is the last epoch's")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if first_epoch >= cfg.num_epochs_stage2:
        print(f"nothing to do: {first_epoch} epochs are done; raise --num_epochs_stage2")
    elif validation_ids and not improved:
        print(f"wrote {last_path}; {best_path} stays the earlier one ({keeper.score:.5f}), which no epoch beat")
    else:
        print(f"wrote {best_path} and {last_path}")
    return {"start": start_score, "best": keeper.score if validation_ids else None, "last": score}


def find_geometry(cfg):
    """The geometry checkpoint to color: the one named, else your own best, else the shipped one.

    Args:
        cfg: Config.
    Returns:
        Path.
    """
    if cfg.geometry_checkpoint:
        return Path(cfg.geometry_checkpoint)
    own = Path(cfg.checkpoint_dir) / "geometry_best.pth"
    return own if own.is_file() else Path(__file__).parent / PRETRAINED_DIR / "geometry_best.pth"


def main(argv):
    cfg = parse_config(argv, __doc__.splitlines()[0])
    for name in ("initial_weights", "average_weights"):
        if name in cfg.explicit:
            raise UserError(f"--{name}: is for train_geometry.py alone")
    from utils.device import lighter_training, out_of_memory_advice

    with out_of_memory_advice(lighter_training(cfg, 2)):
        train(cfg)


if __name__ == "__main__":
    run_script(main)

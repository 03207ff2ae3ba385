"""Stage 1: learn to predict a closed mesh from six pictures.

    python train_geometry.py                                    # your data/OBJs, or the shipped sample shoes
    python train_geometry.py --preset fast --num_epochs_stage1 2
    python train_geometry.py --resume                           # go on from checkpoints/geometry_last.pth
    torchrun --nproc_per_node 2 train_geometry.py               # several processes

Writes checkpoints/geometry_best.pth (best on objects held out of training) and geometry_last.pth, and one JSON line
per epoch to logs/geometry.jsonl.
"""
import time
from dataclasses import replace
from pathlib import Path

from config import config_as_dict, parse_config, run_script

MEAN_SHAPE_STEPS = 150  # of MEAN_SHAPE_OBJECTS objects each: half a minute on a CPU
MEAN_SHAPE_OBJECTS = 8
MEAN_SHAPE_RATE = 0.02  # lengths per step


def train(cfg):
    """Train the geometry model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation Chamfer distances: `start` (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, encoder, device or checkpoint are not as needed, or the loss is no longer finite.
    """
    import torch
    from accelerate.utils import broadcast
    from torch.utils.data import Subset
    from tqdm import tqdm

    from load_data import SixViewDataset, make_loader, prepare_objects, split_objects
    from models.encoder import encode_dataset, load_encoder
    from models.geometry_model import GeometryModel
    from models.losses import geometry_loss
    from utils.checkpoint import load_checkpoint, load_weights, save_checkpoint, stored_weights
    from utils.device import make_accelerator
    from utils.files import check_writable
    from utils.training import (STATISTICS_OBJECTS, BestKeeper, RunLog, drawn_points, lr_at, make_optimizer,
                                only_main_process_talks, sample_generator, seed_everything, set_rate,
                                shuffled_views, stop_if_not_finite, uniform_draws)

    # Device
    accelerator = make_accelerator(cfg.device, cfg.mixed_precision, cfg.gradient_accumulation_steps)
    only_main_process_talks(accelerator)
    device = accelerator.device
    for folder in (cfg.checkpoint_dir, cfg.log_dir):
        check_writable(folder)
    print(f"device: {device}, processes: {accelerator.num_processes}, precision: {cfg.mixed_precision}")
    seed_everything(cfg.seed)

    # Model
    encoder, image_size = load_encoder(cfg)
    cfg = replace(cfg, image_size=image_size)
    model = GeometryModel(encoder, num_points=cfg.num_points, decoder_hidden=tuple(cfg.decoder_hidden),
                          aggregate_dim=cfg.aggregate_dim)
    optimizer = make_optimizer(model, cfg.weight_decay, cfg.encoder_learning_rate_scale)

    # Data
    with accelerator.main_process_first():
        objects, cached = prepare_objects(cfg)
    train_ids, validation_ids = split_objects([item.id for item in objects], cfg.validation_fraction, cfg.seed)
    print(f"training on {len(train_ids)} objects, validating on {len(validation_ids)} that are not trained on")
    train_set = SixViewDataset([cached[name] for name in train_ids])
    loader = make_loader(train_set, cfg.batch_size_stage1, shuffle=True, seed=cfg.seed, num_workers=cfg.num_workers)
    own_share = validation_ids[accelerator.process_index::accelerator.num_processes]
    validation_set = SixViewDataset([cached[name] for name in own_share])
    validation_loader = make_loader(validation_set, cfg.batch_size_stage1, shuffle=False, seed=cfg.seed,
                                    num_workers=cfg.num_workers)

    # Resume
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"geometry_{name}.pth" for name in ("last", "best"))
    first_epoch, step, start_score = 0, 0, None
    if cfg.resume:
        saved = load_checkpoint(last_path, "geometry")
        load_weights(model, saved["weights"], last_path)
        optimizer.load_state_dict(saved["optimizer"])
        first_epoch, step, start_score = saved["epoch"], saved["step"], saved["start_score"]
        print(f"resumed from {last_path}: {first_epoch} epochs done")
    old_best = load_checkpoint(best_path, "geometry") if best_path.is_file() else None
    keeper = BestKeeper(best_path, validation_ids, old_best)
    log = RunLog(cfg.log_dir, "geometry", config_as_dict(cfg), first_epoch if cfg.resume else None,
                 accelerator.is_main_process)

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    plain_model = accelerator.unwrap_model(model)
    weights = {name: getattr(cfg, f"lambda_{name}") for name in ("chamfer", "coverage", "laplacian", "edge", "normal")}
    total_steps = cfg.num_epochs_stage1 * -(-len(loader) // cfg.gradient_accumulation_steps)

    # A frozen encoder sees every picture once; a trained one only takes the statistics of its start
    frozen = plain_model.encoder.frozen
    seen = train_set if frozen else Subset(train_set, range(min(len(train_set), STATISTICS_OBJECTS)))
    pooled = encode_dataset(plain_model.encoder, make_loader(seen, 8, shuffle=False, seed=0), device)
    if not cfg.resume:
        plain_model.aggregator.set_statistics(torch.cat(list(pooled.values())))
    if frozen:
        pooled |= encode_dataset(plain_model.encoder, validation_loader, device)

    def forward_losses(network, batch, epoch, weights):
        """Loss of one batch; what is random in it depends on the seed, the epoch and each object's id alone."""
        generators = [sample_generator(cfg.seed, epoch, object_id) for object_id in batch["id"]]
        views = [pooled[object_id] for object_id in batch["id"]] if frozen else batch["images"].cpu()
        views = shuffled_views(views, generators).to(device)
        points, = drawn_points([batch["points"].cpu()], cfg.num_loss_samples, generators)
        draws = uniform_draws(cfg.num_loss_samples, 3, generators).to(device)
        vertices = network(None, pooled=views) if frozen else network(views)
        return geometry_loss(vertices, plain_model.template, points.to(device), draws, weights)

    def validate():
        """Mean Chamfer distance on the held-out objects, with the same draws every time; None if there are none."""
        model.eval()
        total = torch.zeros(2, device=device)
        with torch.no_grad():
            for batch in validation_loader:
                # The bare model: processes may hold unequal numbers of batches, and the wrapped one would wait for more
                _, parts = forward_losses(plain_model, batch, "validation",
                                          dict.fromkeys(weights, 0.0) | {"chamfer": 1.0})
                total += len(batch["id"]) * torch.stack([parts["chamfer"], torch.ones_like(parts["chamfer"])])
        model.train()
        total = accelerator.reduce(total)
        return float(total[0] / total[1]) if validation_ids else None

    def save(path, epoch, score, **training):
        if accelerator.is_main_process:
            save_checkpoint(path, "geometry", model_args=plain_model.model_args(), weights=stored_weights(plain_model),
                            image_size=cfg.image_size, config=config_as_dict(cfg), epoch=epoch, score=score,
                            validation_ids=validation_ids, **training)

    # Loop
    score, improved = None, False
    if start_score is None and validation_ids:
        start_score = score = validate()
        log.write(0, validation=start_score)
        print(f"epoch 0 (untrained): validation {start_score:.5f}")
    if not cfg.resume:
        fit_mean_shape(plain_model, train_set, weights, cfg)
        broadcast(plain_model.decoder.head.bias.data)  # sums on GPUs may differ in the last bit between processes
        if validation_ids:
            print(f"mean training shape, whatever the pictures: validation {validate():.5f}")
    model.train()
    for epoch in range(first_epoch, cfg.num_epochs_stage1):
        started, sums, batches = time.perf_counter(), {}, 0
        loader.set_epoch(epoch)
        bar = tqdm(loader, desc=f"epoch {epoch + 1}/{cfg.num_epochs_stage1}", leave=False,
                   disable=None if log.active else True)  # None: a bar on a terminal, none in a file
        for batch in bar:
            with accelerator.accumulate(model):
                rate = lr_at(step, total_steps, cfg.learning_rate_stage1, cfg.warmup_fraction)
                set_rate(optimizer, rate)
                total, parts = forward_losses(model, batch, epoch, weights)
                stop_if_not_finite(total, parts, step, batch["id"])
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
        if validation_ids and (done % cfg.validate_every == 0 or done == cfg.num_epochs_stage1):
            score = record["validation"] = validate()
            line += f", validation {score:.5f}"
            if keeper.improves(score):
                save(best_path, done, score)
                improved = True
                line += " (best)"
        save(last_path, done, score, optimizer=optimizer.state_dict(), step=step, start_score=start_score)
        log.write(done, **record)
        print(line)
    if not validation_ids and first_epoch < cfg.num_epochs_stage1:
        save(best_path, cfg.num_epochs_stage1, None)
        print("no objects were held out, so best is the last epoch's")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if first_epoch >= cfg.num_epochs_stage1:
        print(f"nothing to do: {first_epoch} epochs are done; raise --num_epochs_stage1")
    elif validation_ids and not improved:
        print(f"wrote {last_path}; {best_path} stays the earlier one ({keeper.score:.5f}), which no epoch beat")
    else:
        print(f"wrote {best_path} and {last_path}")
    return {"start": start_score, "best": keeper.score if validation_ids else None, "last": score}


def fit_mean_shape(model, dataset, weights, cfg):
    """Move the decoder's bias to the shape that fits all training objects best, before any picture is looked at.

    Otherwise the first hundred steps, whose gradients all point to that mean shape, drive the hidden features of all
    objects towards one value.

    Args:
        model: GeometryModel; its decoder.head.bias changes.
        dataset: SixViewDataset of the training objects.
        weights: dict of loss weights as in models.losses.geometry_loss.
        cfg: Config, for num_loss_samples and seed.
    """
    import torch

    from models.losses import geometry_loss
    from utils.training import drawn_points, lr_at, sample_generator, uniform_draws

    bias, start = model.decoder.head.bias, model.decoder.start
    offsets = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([offsets])
    for step in range(MEAN_SHAPE_STEPS):
        generators = [sample_generator(cfg.seed, "mean shape", step * MEAN_SHAPE_OBJECTS + i)
                      for i in range(MEAN_SHAPE_OBJECTS)]
        chosen = [int(torch.randint(len(dataset), (), generator=generator)) for generator in generators]
        points = torch.stack([dataset[index]["points"] for index in chosen])
        points, = drawn_points([points], cfg.num_loss_samples, generators)
        draws = uniform_draws(cfg.num_loss_samples, 3, generators).to(start.device)
        vertices = (start + offsets).expand(len(chosen), -1, -1)
        total, _ = geometry_loss(vertices, model.template, points.to(start.device), draws, weights)
        optimizer.param_groups[0]["lr"] = lr_at(step, MEAN_SHAPE_STEPS, MEAN_SHAPE_RATE, 0.05)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        bias.copy_(offsets.reshape(-1))


def main(argv):
    train(parse_config(argv, __doc__.splitlines()[0]))


if __name__ == "__main__":
    run_script(main)

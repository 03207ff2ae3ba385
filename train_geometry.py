"""Stage 1: learn to predict a closed mesh from six images.

    python train_geometry.py                                    # your data/OBJs, or the shipped sample shoes
    python train_geometry.py --preset fast --num_epochs_stage1 2
    python train_geometry.py --resume                           # go on from checkpoints/geometry_last.pth
    python train_geometry.py --geometry_decoder field           # the field from six named views, the better shapes
    python train_geometry.py --geometry_decoder field --initial_weights checkpoints/pretrained/geometry_field_best.pth
    torchrun --nproc_per_node 2 train_geometry.py               # several processes

Writes checkpoints/geometry_best.pth (best on objects held out of training) and geometry_last.pth, and one JSON line
per epoch to logs/geometry.jsonl; for the field geometry_field_best.pth and so on.
"""
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, NamedTuple

from config import UserError, config_as_dict, parse_config, run_script

MEAN_SHAPE_STEPS = 150  # of MEAN_SHAPE_OBJECTS objects each: half a minute on a CPU
MEAN_SHAPE_OBJECTS = 8
MEAN_SHAPE_RATE = 0.02  # lengths per step


def train(cfg):
    """Train the geometry model as `cfg` says.

    Args:
        cfg: Config.
    Returns:
        dict of validation scores, lower is better (Chamfer distance for points, loss for the field): `start`
        (untrained), `best`, `last`; None without validation objects.
    Raises:
        UserError: data, encoder, device or checkpoint are not as needed, or the loss is no longer finite.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel
    from tqdm import tqdm

    from load_data import prepare_objects, split_objects
    from utils.device import make_accelerator
    from utils.io.checkpoint import load_checkpoint, load_weights, save_checkpoint, stored_weights
    from utils.io.files import check_writable
    from utils.training.best_checkpoint import BestCheckpoint
    from utils.training.loop import (
        check_architecture,
        check_finite,
        learning_rate_at,
        make_optimizer,
        running_mean,
        seed_everything,
        set_learning_rate,
        silence_other_ranks,
    )
    from utils.training.run_log import RunLog

    # Device
    accelerator = make_accelerator(cfg.device, cfg.mixed_precision, cfg.gradient_accumulation_steps)
    silence_other_ranks(accelerator)
    for folder in (cfg.checkpoint_dir, cfg.log_dir):
        check_writable(folder)
    print(f"device: {accelerator.device}, processes: {accelerator.num_processes}, precision: {cfg.mixed_precision}")
    seed_everything(cfg.seed)

    # Data and model
    with accelerator.main_process_first():
        objects, cached = prepare_objects(cfg)
    train_ids, validation_ids = split_objects([item.id for item in objects], cfg.validation_fraction, cfg.seed,
                                              cfg.num_folds, cfg.fold, cfg.training_share)
    print(f"training on {len(train_ids)} objects, validating on {len(validation_ids)} that are not trained on")
    stage = (field_stage if cfg.geometry_decoder == "field" else points_stage)(
        cfg, accelerator, [cached[name] for name in train_ids], [cached[name] for name in validation_ids])
    cfg = replace(cfg, image_size=stage.image_size)
    model, loader = stage.model, stage.loader
    optimizer = make_optimizer(model, cfg.weight_decay, cfg.encoder_learning_rate_scale)

    # Resume
    last_path, best_path = (Path(cfg.checkpoint_dir) / f"{stage.name}_{which}.pth" for which in ("last", "best"))
    first_epoch, step, start_score = 0, 0, None
    if cfg.resume:
        saved = load_checkpoint(last_path, stage.kind)
        check_architecture(saved["model_args"], model.model_args(), last_path)
        if saved.get("average") and not cfg.average_weights:
            raise UserError(f"{last_path}: holds a running mean of the weights, which would be lost; go on with "
                            f"--average_weights {saved['config']['average_weights']:g}")
        load_weights(model, saved["weights"], last_path)
        optimizer.load_state_dict(saved["optimizer"])
        first_epoch, step, start_score = saved["epoch"], saved["step"], saved["start_score"]
        print(f"resumed from {last_path}: {first_epoch} epochs done")
    elif cfg.initial_weights:
        given = load_checkpoint(cfg.initial_weights, stage.kind)
        check_architecture(given["model_args"], model.model_args(), cfg.initial_weights)
        load_weights(model, given["weights"], cfg.initial_weights)
        print(f"begins with the weights of {cfg.initial_weights}")
    old_best = load_checkpoint(best_path, stage.kind) if best_path.is_file() else None
    keeper = BestCheckpoint(best_path, validation_ids, old_best, stage.scored_by)
    log = RunLog(cfg.log_dir, stage.name, config_as_dict(cfg), first_epoch if cfg.resume else None,
                 accelerator.is_main_process)

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    plain_model = judged = accelerator.unwrap_model(model)
    total_steps = cfg.num_epochs_stage1 * -(-len(loader) // cfg.gradient_accumulation_steps)

    def validate():
        """Mean score of the held-out objects, with the same draws every time; None if there are none."""
        judged.eval()
        total = torch.zeros(2, device=accelerator.device)
        with torch.no_grad():
            for batch in stage.validation_loader:
                # The bare model: processes may hold unequal numbers of batches, and the wrapped one would wait for more
                value = stage.score(judged, batch)
                total += len(batch["id"]) * torch.stack([value, torch.ones_like(value)])
        judged.train()
        total = accelerator.reduce(total)
        return float(total[0] / total[1]) if validation_ids else None

    def save(path, saved_model, epoch, score, **training):
        if accelerator.is_main_process:
            save_checkpoint(path, stage.kind, model_args=plain_model.model_args(), weights=stored_weights(saved_model),
                            image_size=cfg.image_size, config=config_as_dict(cfg), epoch=epoch, score=score,
                            scored_by=stage.scored_by, validation_ids=validation_ids, training_ids=train_ids, **training)

    # Loop
    score, improved = None, False
    stage.begin(plain_model)
    if start_score is None and validation_ids:
        start_score = score = validate()
        log.write(0, validation=start_score)
        print(f"epoch 0 ({cfg.initial_weights or 'untrained'}): validation {start_score:.5f}")
        if cfg.initial_weights and keeper.improves(start_score):  # a rival like any other
            save(best_path, plain_model, 0, start_score)
    if not cfg.resume and not cfg.initial_weights and stage.settle:
        stage.settle(plain_model)
        if validation_ids:
            print(f"mean training shape, whatever the images: validation {validate():.5f}")
    average = None
    if cfg.average_weights:
        average = AveragedModel(plain_model, multi_avg_fn=running_mean(cfg.average_weights))
        if cfg.resume and saved.get("average"):
            average.load_state_dict(average.state_dict() | saved["average"])  # an encoder kept by name is not saved
        judged = average.module
    model.train()
    for epoch in range(first_epoch, cfg.num_epochs_stage1):
        started, sums, batches = time.perf_counter(), {}, 0
        loader.set_epoch(epoch)
        bar = tqdm(loader, desc=f"epoch {epoch + 1}/{cfg.num_epochs_stage1}", leave=False,
                   disable=None if log.active else True)  # None: a bar on a terminal, none in a file
        for batch in bar:
            with accelerator.accumulate(model):
                rate = learning_rate_at(step, total_steps, stage.rate, cfg.warmup_fraction)
                set_learning_rate(optimizer, rate)
                total, parts = stage.losses(model, batch, epoch)
                check_finite(total, parts, step, batch["id"])
                accelerator.backward(total)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), cfg.gradient_clip)
                    step += 1
                optimizer.step()
                optimizer.zero_grad()
                if average and accelerator.sync_gradients:
                    average.update_parameters(plain_model)
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
                save(best_path, judged, done, score)
                improved = True
                line += " (best)"
        mean = average and {"n_averaged": average.n_averaged,
                            **{f"module.{name}": value for name, value in stored_weights(judged).items()}}
        save(last_path, plain_model, done, score, optimizer=optimizer.state_dict(), step=step, start_score=start_score,
             average=mean)
        log.write(done, **record)
        print(line)
    if not validation_ids and first_epoch < cfg.num_epochs_stage1:
        save(best_path, judged, cfg.num_epochs_stage1, None)
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


class Stage(NamedTuple):
    """What differs between the two decoders; the loop is the same."""

    kind: str  # of checkpoint
    name: str  # its files: <name>_best.pth, <name>_last.pth, <name>.jsonl
    model: object  # nn.Module
    loader: object  # of training batches
    validation_loader: object  # of this process's share of the held-out objects
    image_size: int  # pixels of the images that the model reads
    rate: float  # peak learning rate
    begin: Callable  # begin(model): before anything is predicted, in a new run and in a resumed one
    settle: Callable  # settle(model): before the first step of a new run; None if there is nothing to do
    losses: Callable  # losses(network, batch, epoch) -> total, dict of parts
    score: Callable  # score(model, batch) -> what validation averages
    scored_by: str  # its name: scores of other names are not compared


def points_stage(cfg, accelerator, train_objects, validation_objects):
    """Stage of the point decoder: images alone, in any order, to the vertices of a closed mesh.

    Args:
        cfg: Config.
        accelerator: accelerate.Accelerator.
        train_objects, validation_objects: lists of load_data.CachedObject.
    Returns:
        Stage.
    """
    import torch
    from accelerate.utils import broadcast
    from torch.utils.data import Subset

    from load_data import SixViewDataset, make_loader
    from models.encoder import cached_features, encode_dataset, load_encoder
    from models.geometry_model import GeometryModel
    from models.losses import geometry_loss
    from utils.training.loop import (
        STATISTICS_OBJECTS,
        sample_generator,
        shuffled_views,
        subsample_points,
        uniform_noise,
    )

    device = accelerator.device
    encoder, image_size = load_encoder(cfg)
    frozen = encoder.frozen  # its features are cached, so the loop reads no images
    model = GeometryModel(encoder, num_points=cfg.num_points, decoder_hidden=tuple(cfg.decoder_hidden),
                          aggregate_dim=cfg.aggregate_dim)
    weights = {name: getattr(cfg, f"lambda_{name}") for name in ("chamfer", "coverage", "laplacian", "edge", "normal")}
    train_set = SixViewDataset(train_objects, cfg.augment_turns)
    loop_set = SixViewDataset(train_objects, cfg.augment_turns, with_images=not frozen)
    loader = make_loader(loop_set, cfg.batch_size_stage1, shuffle=True, seed=cfg.seed, num_workers=cfg.num_workers,
                         augmentations=cfg.augmentations, fresh=not frozen)
    own_share = validation_objects[accelerator.process_index::accelerator.num_processes]
    validation_loader = make_loader(SixViewDataset(own_share, with_images=not frozen), cfg.batch_size_stage1,
                                    shuffle=False, seed=cfg.seed, num_workers=cfg.num_workers)
    pooled = {}  # (id, variant): features of a frozen encoder

    def begin(model):
        # A frozen encoder sees every image once; a trained one only takes the statistics of its start
        if frozen:
            seen = cached_features(model.encoder, train_set, 1 + cfg.augmentations, cfg.cache_dir, accelerator)
            held_out = SixViewDataset(validation_objects)
            pooled.update(seen | cached_features(model.encoder, held_out, 1, cfg.cache_dir, accelerator))
        else:
            few = Subset(train_set, range(min(len(train_set), STATISTICS_OBJECTS)))
            seen = encode_dataset(model.encoder, make_loader(few, 8, shuffle=False, seed=0), device)
        if not (cfg.resume or cfg.initial_weights):
            model.aggregator.set_statistics(torch.cat(list(seen.values())))

    def settle(model):
        fit_mean_shape(model, loop_set, weights, cfg)
        broadcast(model.decoder.head.bias.data)  # sums on GPUs may differ in the last bit between processes

    def losses(network, batch, epoch, weights=weights):
        """Loss of one batch; what is random in it depends on the seed, the epoch and each object's id alone."""
        generators = [sample_generator(cfg.seed, epoch, object_id) for object_id in batch["id"]]
        keys = zip(batch["id"], batch["variant"].tolist())
        views = [pooled[key] for key in keys] if frozen else batch["images"].cpu()
        views = shuffled_views(views, generators).to(device)
        points, = subsample_points([batch["points"].cpu()], cfg.num_loss_samples, generators)
        draws = uniform_noise(cfg.num_loss_samples, 3, generators).to(device)
        vertices = network(None, pooled=views) if frozen else network(views)
        return geometry_loss(vertices, accelerator.unwrap_model(network).template, points.to(device), draws, weights)

    def score(model, batch):
        return losses(model, batch, "validation", dict.fromkeys(weights, 0.0) | {"chamfer": 1.0})[1]["chamfer"]

    return Stage("geometry", "geometry", model, loader, validation_loader, image_size, cfg.learning_rate_stage1, begin,
                 settle, losses, score, "chamfer")


def field_stage(cfg, accelerator, train_objects, validation_objects):
    """Stage of the field: six named views to the occupancy of any point. Arguments and result as for points_stage."""
    from load_data import FieldDataset, make_loader
    from models.encoder import cached_tokens, load_encoder, weights_key
    from models.field_model import FieldModel, field_loss
    from models.view_cameras import augment_space, random_colors, transform_box, transform_points, view_cameras
    from utils.multiview.view_maps import MAP_SIZE
    from utils.training.loop import sample_generator, subsample_points

    encoder, token_size, token_folder, with_tokens = None, 0, None, {}
    if cfg.field_tokens:  # never trained: its tokens are kept, so the loop encodes each image once
        encoder, token_size = load_encoder(replace(cfg, freeze_image_encoder=True))
        with_tokens = {"encoder": encoder, "token_width": encoder.feature_dim, "token_size": token_size}
    model = FieldModel(grid_size=cfg.field_grid, volume_widths=tuple(cfg.field_widths), pictures=cfg.field_pictures,
                       use_color=cfg.field_color, target=cfg.field_target, **with_tokens)
    loader = make_loader(FieldDataset(train_objects), cfg.batch_size_stage1, shuffle=True, seed=cfg.seed,
                         num_workers=cfg.num_workers, augmentations=cfg.field_variants)
    own_share = validation_objects[accelerator.process_index::accelerator.num_processes]
    validation_loader = make_loader(FieldDataset(own_share), cfg.batch_size_stage1, shuffle=False, seed=cfg.seed,
                                    num_workers=cfg.num_workers)

    def begin(model):
        nonlocal token_folder
        if encoder:  # a resumed run has only now the weights that it encodes with
            token_folder = Path(cfg.cache_dir) / "features" / weights_key(encoder)

    def losses(network, batch, epoch):
        """Loss of one batch; what is random in it depends on the seed, the epoch and each object's id alone."""
        generators = [sample_generator(cfg.seed, epoch, object_id) for object_id in batch["id"]]
        points, distances = subsample_points([batch["points"].cpu(), batch["distances"].cpu().float().unsqueeze(-1)],
                                         cfg.field_points, generators)
        points, distances = points.to(accelerator.device), distances.squeeze(-1).to(accelerator.device)
        maps, box = batch["maps"].to(accelerator.device).float(), batch["box"].to(accelerator.device)
        cameras, tokens = view_cameras(len(maps), maps.device), None
        if encoder:
            # Of the images as they are: another space has other cameras alone, and other colors do not reach them
            tokens = cached_tokens(encoder, maps[:, :, :3], token_size, token_folder).to(maps.device)
        if epoch != "validation":
            matrix, cameras = augment_space(box, generators, cfg.field_stretch)
            points, box = transform_points(points, matrix), transform_box(box, matrix)
            distances = distances * matrix.det().abs().pow(1 / 3)[:, None]  # about right for a stretched object
            maps = random_colors(maps, generators)
        output, hull = network(points, maps, cameras, box, tokens)
        total = field_loss(output, distances, hull, cfg.field_target)
        return total, {}

    def score(model, batch):
        return losses(model, batch, "validation")[0]

    return Stage("field", "geometry_field", model, loader, validation_loader, 2 * MAP_SIZE, cfg.learning_rate_field,
                 begin, None, losses, score, cfg.field_target)


def fit_mean_shape(model, dataset, weights, cfg):
    """Move the decoder's bias to the shape that fits all training objects best, before any image is looked at.

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
    from utils.training.loop import learning_rate_at, sample_generator, subsample_points, uniform_noise

    bias, start = model.decoder.head.bias, model.decoder.start
    offsets = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([offsets])
    for step in range(MEAN_SHAPE_STEPS):
        generators = [sample_generator(cfg.seed, "mean shape", step * MEAN_SHAPE_OBJECTS + i)
                      for i in range(MEAN_SHAPE_OBJECTS)]
        chosen = [int(torch.randint(len(dataset), (), generator=generator)) for generator in generators]
        points = torch.stack([dataset[index]["points"] for index in chosen])
        points, = subsample_points([points], cfg.num_loss_samples, generators)
        draws = uniform_noise(cfg.num_loss_samples, 3, generators).to(start.device)
        vertices = (start + offsets).expand(len(chosen), -1, -1)
        total, _ = geometry_loss(vertices, model.template, points.to(start.device), draws, weights)
        optimizer.param_groups[0]["lr"] = learning_rate_at(step, MEAN_SHAPE_STEPS, MEAN_SHAPE_RATE, 0.05)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        bias.copy_(offsets.reshape(-1))


def main(argv):
    cfg = parse_config(argv, __doc__.splitlines()[0])
    from utils.device import lighter_training, out_of_memory_advice

    with out_of_memory_advice(lighter_training(cfg, 1)):
        train(cfg)


if __name__ == "__main__":
    run_script(main)

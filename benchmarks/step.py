"""What the cache of a frozen encoder's features saves in a training step, beside the step as it is usually written.

Ours reads each image's features from memory, finds nearest points without a table of all pairs and has a fused
optimizer. The usual way encodes the six images one by one on every step. Both minimize the same loss.
"""
import torch

from benchmarks.measure import compare, ratio_at_least
from config import Config
from models.encoder import ImageEncoder
from models.geometry_model import GeometryModel
from models.losses import (
    edge_length_loss,
    geometry_loss,
    laplacian_loss,
    normal_consistency_loss,
    sample_faces,
    worst_mean,
)
from utils.training.loop import make_optimizer

DINOV2_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}


def random_model(image_size, num_points, decoder_hidden, architecture):
    """A GeometryModel over a frozen DINOv2 of random weights: what it costs does not depend on them."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    backbone = Dinov2Model(Dinov2Config(**architecture, image_size=image_size, patch_size=14,
                                        attn_implementation="sdpa"))
    return GeometryModel(ImageEncoder(backbone, frozen=True), num_points=num_points, decoder_hidden=decoder_hidden)


def broadcast_loss(vertices, template, true_points, draws, weights):
    """`models.losses.geometry_loss` with a table of all pairs for each of its two searches."""
    def squared(first, second):
        return (first[:, :, None] - second[:, None]).square().sum(-1)

    samples = sample_faces(vertices, template["faces"], draws)
    of_samples, of_vertices = squared(samples, true_points), squared(vertices, true_points)
    chamfer = sum(table.min(2).values.mean() + table.min(1).values.mean() for table in (of_samples, of_vertices)) / 2
    return (weights["chamfer"] * chamfer + weights["coverage"] * worst_mean(of_samples.min(1).values)
            + weights["laplacian"] * laplacian_loss(vertices, template["edges"])
            + weights["edge"] * edge_length_loss(vertices, template["edges"])
            + weights["normal"] * normal_consistency_loss(vertices, template["faces"], template["edge_faces"]))


def run(rounds, device=torch.device("cpu"), image_size=224, num_points=4096, decoder_hidden=(1024, 2048, 2048),
        architecture=DINOV2_BASE):
    """One row: a step of batch size 1 with as many true points and samples as there are vertices."""
    cfg = Config()
    weights = {name: getattr(cfg, f"lambda_{name}") for name in ("chamfer", "coverage", "laplacian", "edge", "normal")}
    models = [random_model(image_size, num_points, decoder_hidden, architecture).to(device) for _ in range(2)]
    fused = make_optimizer(models[0], cfg.weight_decay, cfg.encoder_learning_rate_scale)
    usual = torch.optim.AdamW([value for value in models[1].parameters() if value.requires_grad])
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 6, 3, image_size, image_size, generator=generator).to(device)
    true_points = torch.rand(1, num_points, 3, generator=generator).to(device) - 0.5
    draws = torch.rand(1, num_points, 3, generator=generator).to(device)
    with torch.no_grad():
        cached = models[0].encoder(images)[0]

    def ours():
        model = models[0]
        loss, _ = geometry_loss(model(None, pooled=cached), model.template, true_points, draws, weights)
        finish(loss, model, fused)

    def other():
        model = models[1]
        with torch.no_grad():
            pooled = torch.cat([model.encoder(images[:, i:i + 1])[0] for i in range(6)], dim=1)
        finish(broadcast_loss(model(None, pooled=pooled), model.template, true_points, draws, weights), model, usual)

    def finish(loss, model, optimizer):
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()

    return [compare(f"cache: frozen features, geometry step, {image_size} px, {num_points} points", ours, other, rounds,
                    ratio_at_least(30), device, "images encoded each time")]

"""The table of credits: every author of a training object, and nobody twice."""
import pytest
import torch

from utils.io.checkpoint import save_checkpoint
from utils.training import credits


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "objects.csv").write_text("id,source,licence\na,Sketchfab,CC-BY-4.0\nb,Scans,CC0\nc,Scans,CC0\nd,Other,MIT\n")
    (tmp_path / "credits.csv").write_text("id,title,author,licence,url\na,A | boot,Ann,CC-BY-4.0,http://a\nz,Zip,Zoe,MIT,http://z\n")
    save_checkpoint(tmp_path / "m.pth", "field", model_args={}, weights={"w": torch.zeros(1)}, image_size=256, config={},
                    epoch=1, score=0.1, validation_ids=["c"], training_ids=["a", "b", "generated 0-1"])
    return tmp_path


def test_authors_of_training_and_validation_objects_are_named_and_collections_counted(tables, run_script_main):
    code, out, _ = run_script_main(credits, tables / "m.pth", tables / "C.md", "--objects", tables / "objects.csv",
                                   "--credits", tables / "credits.csv")
    text = (tables / "C.md").read_text()
    assert code == 0 and "4 objects" in out
    assert "| [A / boot](http://a) | Ann | CC-BY-4.0 |" in text and "| Scans | CC0 | 2 |" in text
    assert "Zoe" not in text and "Other" not in text and "generated" not in text


def test_a_missing_table_is_named(tables, run_script_main):
    code, _, err = run_script_main(credits, tables / "m.pth", tables / "C.md", "--objects", tables / "gone.csv")
    assert code == 2 and "gone.csv" in err and not (tables / "C.md").exists()

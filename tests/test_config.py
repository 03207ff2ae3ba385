"""Options in, checked settings out."""
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

import config
from config import Config, FastTrainingConfig, HighQualityConfig, MemoryEfficientConfig, UserError, counted, parse_config

ROOT = Path(__file__).parents[1]
OTHER_VALUES = {str: ("elsewhere", "elsewhere"), int: ("3", 3), float: ("0.25", 0.25), bool: ("true", True),
                tuple: ("16,32", (16, 32))}
# Options whose other value must be one of a few, or fit another option.
SPECIAL = {"mixed_precision": ("bf16", "bf16"), "image_size": ("140", 140), "num_points": ("99", 99),
           "num_surface_samples": ("5000", 5000), "encoder_width": ("8", 8), "encoder_heads": ("2", 2),
           "geometry_decoder": ("field", "field"), "field_grid": ("48", 48),
           "field_widths": ("8,16", (8, 16)), "field_color": ("false", False),
           "field_stretch": ("0.1", 0.1), "field_variants": ("5", 5)}


def parse(*argv):
    return parse_config(list(argv), "test")


@pytest.mark.parametrize("item", [item for item in config.option_fields() if item.name != "fold"],
                         ids=lambda item: item.name)
def test_every_option_is_parsed_and_only_it_changes(item):
    text, value = SPECIAL.get(item.name, OTHER_VALUES[type(item.default)])
    cfg = parse(f"--{item.name}", text)
    assert getattr(cfg, item.name) == value and type(getattr(cfg, item.name)) is type(item.default)
    assert value != item.default, "the test must change something"
    assert cfg == dataclasses.replace(Config(), **{item.name: value})
    assert cfg.explicit == {item.name}


def test_a_fold_is_one_of_the_folds():
    cfg = parse("--num_folds", "4", "--fold", "3")
    assert (cfg.num_folds, cfg.fold) == (4, 3)
    for options in (["--num_folds", "4", "--fold", "4"], ["--fold", "1"], ["--num_folds", "1"]):
        with pytest.raises(UserError, match=options[-2]):
            parse(*options)


@pytest.mark.parametrize("options", [["--geometry_decoder", "voxels"], ["--field_widths", "12,24"],
                                     ["--field_grid", "30"]])
def test_field_options_that_cannot_work_are_refused_by_name(options):
    with pytest.raises(UserError, match=options[0]):
        parse(*options)


@pytest.mark.parametrize("script", config.SCRIPTS)
@pytest.mark.parametrize("item", config.option_fields(), ids=lambda item: item.name)
def test_an_option_a_script_does_not_use_is_refused_by_it_naming_who_does(item, script):
    text, _ = SPECIAL.get(item.name, OTHER_VALUES[type(item.default)])
    words = [f"--{item.name}", text] + ["--num_folds", "5"] * (item.name == "fold")
    used = all(script in each.metadata["scripts"] for each in config.option_fields() if f"--{each.name}" in words)
    if used:
        assert item.name in parse_config(words, "test", script).explicit
        return
    with pytest.raises(UserError) as error:
        parse_config(words, "test", script)
    assert f"{config.SCRIPTS[script]} does not use it" in str(error.value) and "\n" not in str(error.value)
    if script not in item.metadata["scripts"] and item.name != "fold":
        assert f"--{item.name}: " in str(error.value)
        assert all(config.SCRIPTS[user] in str(error.value) for user in item.metadata["scripts"])


def test_a_preset_that_changes_nothing_for_a_script_is_refused():
    with pytest.raises(UserError, match="--preset memory_efficient: changes nothing that train_field.py uses"):
        parse_config(["--preset", "memory_efficient"], "test", "field")
    assert parse_config(["--preset", "memory_efficient"], "test", "texture").freeze_image_encoder


def test_options_of_a_script_are_those_it_takes_and_give_its_settings_again():
    cfg = parse("--preset", "fast", "--num_points", "99", "--texture_hidden", "8", "--seed", "4", "--decoder_hidden",
                "8,9")
    words = config.options_of("geometry", cfg)
    assert words == ["--preset", "fast", "--seed", "4", "--num_points", "99", "--decoder_hidden", "8,9"]
    again = parse_config(words, "test", "geometry")
    assert all(getattr(again, item.name) == getattr(cfg, item.name) for item in config.option_fields()
               if "geometry" in item.metadata["scripts"])


@pytest.mark.parametrize("argv, named", [
    (["--split_file", "a.csv", "--num_folds", "3"], "--num_folds: --split_file"),
    (["--split_file", "a.csv", "--validation_fraction", "0.3"], "--validation_fraction: --split_file"),
    (["--obj_dir", "a,b", "--images_dir", "c"], "--images_dir c: names 1 folder, --obj_dir 2"),
    (["--resume", "--initial_weights", "a.pth"], "--initial_weights: a resumed run")])
def test_options_that_do_not_go_together_are_refused_naming_one(argv, named):
    with pytest.raises(UserError, match=named):
        parse(*argv)


def test_no_options_give_the_defaults():
    assert parse() == Config() and parse().explicit == frozenset()


@pytest.mark.parametrize("name, kind", [("default", Config), ("fast", FastTrainingConfig),
                                        ("high_quality", HighQualityConfig),
                                        ("memory_efficient", MemoryEfficientConfig)])
def test_presets_are_valid_and_can_be_overridden(name, kind):
    cfg = parse("--preset", name, "--num_points", "77")
    assert type(cfg) is kind
    assert cfg == dataclasses.replace(kind(), num_points=77)
    assert cfg.explicit == {"num_points"}
    assert config.check_config(kind()) == kind()


def test_presets_differ_from_the_default():
    assert FastTrainingConfig().encoder_name == "scratch"
    assert HighQualityConfig().num_points == 8192
    assert MemoryEfficientConfig().freeze_image_encoder is True


def test_an_explicit_value_equal_to_the_default_is_still_recorded():
    assert parse("--obj_dir", Config().obj_dir).explicit == {"obj_dir"}


def test_equals_sign_and_int_for_float_are_accepted():
    cfg = parse("--weight_decay=1", "--seed=5")
    assert cfg.weight_decay == 1.0 and type(cfg.weight_decay) is float and cfg.seed == 5
    cfg = config.check_config(Config(weight_decay=1))
    assert type(cfg.weight_decay) is float


@pytest.mark.parametrize("argv, value", [((), True), (("true",), True), (("1",), True), (("Yes",), True),
                                         (("false",), False), (("0",), False), (("no",), False)])
def test_booleans_are_flags_or_words(argv, value):
    cfg = parse("--resume", *argv)
    assert cfg.resume is value and cfg.explicit == {"resume"}


def test_a_boolean_preset_value_can_be_switched_off():
    assert parse("--preset", "memory_efficient", "--freeze_image_encoder", "false").freeze_image_encoder is False


@pytest.mark.parametrize("text, value", [("8", (8,)), ("8,16", (8, 16)), ("8x16x32", (8, 16, 32)), ("8, 16", (8, 16))])
def test_tuples_are_numbers_with_commas(text, value):
    assert parse("--decoder_hidden", text).decoder_hidden == value


@pytest.mark.parametrize("argv, named", [
    (["--num_pionts", "5"], "--num_pionts"),
    (["--num_point", "5"], "--num_point"),  # no guessing of abbreviations
    (["stray"], "stray"),
    (["--preset", "huge"], "huge"),
    (["--num_points", "many"], "--num_points"),
    (["--num_points", "4.5"], "--num_points"),
    (["--num_points"], "--num_points"),
    (["--num_points", "3"], "--num_points"),
    (["--num_points", "-5"], "--num_points"),
    (["--learning_rate_stage1", "fast"], "--learning_rate_stage1"),
    (["--learning_rate_stage1", "nan"], "--learning_rate_stage1"),
    (["--learning_rate_stage2", "inf"], "--learning_rate_stage2"),
    (["--learning_rate_stage2", "-1"], "--learning_rate_stage2"),
    (["--lambda_chamfer", "-0.1"], "--lambda_chamfer"),
    (["--gradient_clip", "-1"], "--gradient_clip"),
    (["--validation_fraction", "1.5"], "--validation_fraction"),
    (["--image_size", "13"], "--image_size"),
    (["--image_size", "5000"], "--image_size"),
    (["--resume", "maybe"], "--resume"),
    (["--decoder_hidden", "8,,9"], "--decoder_hidden"),
    (["--decoder_hidden", "8,0"], "--decoder_hidden"),
    (["--decoder_hidden", "wide"], "--decoder_hidden"),
    (["--mixed_precision", "fp16"], "--mixed_precision"),
    (["--encoder_width", "10"], "--encoder_width"),
])
def test_bad_options_are_refused_by_name(argv, named):
    with pytest.raises(UserError) as error:
        parse(*argv)
    assert named in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name, value", [("num_points", 5.0), ("num_points", True), ("resume", 1), ("seed", "0"),
                                         ("decoder_hidden", [8, 8]), ("decoder_hidden", (8, 8.0)),
                                         ("decoder_hidden", ())])
def test_wrong_types_in_code_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        config.check_config(Config(**{name: value}))


def test_config_as_dict_is_plain_and_complete():
    plain = config.config_as_dict(parse("--decoder_hidden", "8,9"))
    assert plain["decoder_hidden"] == [8, 9] and "explicit" not in plain
    assert set(plain) == {item.name for item in config.option_fields()}
    assert all(type(value) in (str, int, float, bool, list) for value in plain.values())


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for item in config.option_fields():
        assert f"--{item.name} " in text
    assert "1024,2048,2048" in text


def test_run_script_turns_a_user_error_into_one_line_and_exit_code_2(capsys):
    def main(argv):
        raise UserError("no such folder")

    with pytest.raises(SystemExit) as stop:
        config.run_script(main)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.err == "error: no such folder\n" and captured.out == ""


def shell(command, main, cwd=ROOT, **environment):
    """Code, stdout and stderr of a shell's command, in which SCRIPT is a script that runs `main(argv)`."""
    script = f"{sys.executable} -c 'import config, sys, os\n{main}\nconfig.run_script(main)'"
    done = subprocess.run(["bash", "-c", command.replace("SCRIPT", script)], cwd=cwd, capture_output=True, text=True,
                          timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment)
    return done.returncode, done.stdout, done.stderr


PRINTS = """def main(argv):
    for number in range(3):
        print("x" * 99999)"""
HELPS = """def main(argv):
    print("x" * 99999)
    config.OptionParser().parse_args(["--help"])"""
REFUSES = """def main(argv):
    print("x")
    raise config.UserError("no such folder")"""


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("main", [PRINTS, HELPS], ids=["prints", "helps"])
@pytest.mark.parametrize("to, code, said", [
    ("| true; exit ${PIPESTATUS[0]}", 141, "stopped: nobody reads what is printed any more; what was finished is kept"),
    ("> /dev/full", 2, "error: what is printed cannot be written (No space left on device); what was finished is kept")])
def test_what_cannot_be_printed_ends_the_run_in_one_line(to, code, said, main, buffered):
    found, _, err = shell(f"SCRIPT {to}", main, PYTHONUNBUFFERED=buffered)
    assert found == code and err.startswith(said) and err.count("\n") == 1, err


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
def test_an_error_is_said_though_nobody_reads_the_rest_and_a_bug_of_ours_stays_one():
    held_back = {"PYTHONUNBUFFERED": ""}  # printing succeeds, for it is not written out before the end
    assert shell("SCRIPT | true; exit ${PIPESTATUS[0]}", REFUSES, **held_back) == (2, "", "error: no such folder\n")
    assert shell("SCRIPT 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", REFUSES, **held_back)[0] == 2
    for number in ("ENOSPC", "EPIPE", "ENOENT"):
        code, _, err = shell("SCRIPT", f"def main(argv):\n    import errno\n    raise OSError(errno.{number}, \"ours\")")
        assert code == 1 and "Traceback" in err


@pytest.mark.skipif(os.name != "posix", reason="streams of a POSIX shell")
def test_streams_that_are_closed_from_the_start_are_not_the_next_file(tmp_path):
    opens = """def main(argv):
    with open("file", "w") as file:
        print("out")
        print("err", file=sys.stderr, flush=True)
        os.write(2, b"library")
        file.write("mine")
        assert file.fileno() > 2"""
    for closed, out, err in ((">&-", "", "err\nlibrary"), ("2>&-", "out\n", ""), (">&- 2>&-", "", "")):
        assert shell(f"SCRIPT {closed}", opens, tmp_path) == (0, out, err)
        assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder that somebody is in")
def test_a_folder_that_is_gone_is_said(tmp_path):
    code, _, err = shell("mkdir gone && cd gone && rmdir ../gone && SCRIPT", "def main(argv):\n    pass", tmp_path)
    assert code == 2 and err == "error: the folder that this was started in is gone; change into another one\n"


def test_importing_config_loads_neither_torch_nor_numpy():
    code = "import sys, config; print(sorted({'torch', 'numpy', 'trimesh', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_option_has_a_help_text_and_a_script_even_without_the_source(tmp_path):
    """An installation without config.py's source, compiled alone, still starts."""
    import py_compile

    py_compile.compile(str(ROOT / "config.py"), cfile=str(tmp_path / "config.pyc"))
    code = "import config; print(config.parse_config(['--seed', '3'], 'test', 'field').seed, config.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("3 ") and done.stdout.strip().endswith("config.pyc"), done.stderr
    assert all(item.metadata["help"] and item.metadata["scripts"] for item in config.option_fields())


@pytest.mark.parametrize("number, words, expected", [
    (1, ["view"], "1 view"), (2, ["view"], "2 views"), (0, ["view"], "0 views"), (1, ["batch", "batches"], "1 batch"),
    (3, ["batch", "batches"], "3 batches"), (1, ["object is", "objects are"], "1 object is")])
def test_what_is_counted_agrees_with_its_number(number, words, expected):
    assert counted(number, *words) == expected

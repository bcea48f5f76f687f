import json
import subprocess
import sys

from tunewell.runs.environment import difference, environment, read


def test_the_fingerprint_names_python_machine_and_libraries():
    found = environment({"device": "cpu", "threads": "2"})
    assert found["python"].startswith("3.")
    assert found["system"].count(" ") == 1
    assert found["processor"]
    assert found["torch"][0].isdigit()
    assert (found["device"], found["threads"]) == ("cpu", "2")
    assert json.loads(json.dumps(found)) == found
    assert environment() == environment()


def test_differences_in_words():
    old, new = (
        {"torch": "2.10", "same": "1", "num_threads": "2"},
        {"torch": "2.11", "same": "1", "device": "cpu"},
    )
    assert difference(old, new) == [
        "torch was 2.10 and is 2.11 now",
        "num threads was 2 and is not known now",
        "device was not known and is cpu now",
    ]
    assert difference(old, old) == []


def test_this_layer_never_imports_torch_or_numpy():
    modules = (
        "log timeline folder checkpoints summary story environment model_card row_history lock disk incidents"
    )
    code = f"import sys\nfor name in '{modules}'.split(): __import__('tunewell.runs.' + name)\n"
    code += "print([name for name in ('torch', 'numpy', 'transformers', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_damaged_fingerprint_is_one_in_which_nothing_is_known(tmp_path):
    path = tmp_path / "environment.json"
    path.write_text('{"torch": "2.11.0"}')
    assert read(path) == {"torch": "2.11.0"}
    for damaged in (b"", b"{", b"\xff", b"[]", b'{"torch": 1}'):
        path.write_bytes(damaged)
        assert read(path) == {}
    path.unlink()
    assert difference(read(path), {"torch": "2.11.0"}) == ["torch was not known and is 2.11.0 now"]

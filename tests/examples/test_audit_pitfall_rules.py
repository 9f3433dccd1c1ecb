"""Code that does something else than it seems to do."""

from __future__ import annotations

import pytest

from tests.examples.support import found, lines


@pytest.mark.parametrize(
    "default",
    ["[]", "{}", "{1}", "[x for x in y]", "list()", "dict(a=1)", "collections.defaultdict(int)"],
)
def test_a_mutable_default_is_found(default: str) -> None:
    assert lines("mutable-default", f"def f(a, b={default}): pass") == [1]
    assert lines("mutable-default", f"def f(a, *, b={default}): pass") == [1]


@pytest.mark.parametrize("default", ["None", "()", "''", "1", "frozenset()", "tuple()", "CONSTANT"])
def test_an_immutable_default_is_fine(default: str) -> None:
    assert lines("mutable-default", f"def f(a, b={default}, *, c={default}): pass") == []


def test_a_mutable_default_is_named() -> None:
    [finding] = found("mutable-default", "def f(a, b, cache={}, *, d=None): pass")
    assert "`cache`" in finding.message


def test_an_assert_on_a_tuple_is_found() -> None:
    assert lines("assert-on-tuple", "assert (x, 'message')") == [1]


@pytest.mark.parametrize("code", ["assert x, 'message'", "assert (x)", "assert ()"])
def test_an_ordinary_assert_is_fine(code: str) -> None:
    assert lines("assert-on-tuple", code) == []


@pytest.mark.parametrize("test", ["x is 1", "x is not 'a'", "x is ()", "a < b is b'c'"])
def test_identity_of_a_literal_is_found(test: str) -> None:
    assert lines("identity-of-literal", f"y = {test}") == [1]


@pytest.mark.parametrize("test", ["x is None", "x is True", "x is ...", "x == 1", "x is y"])
def test_identity_of_singletons_is_fine(test: str) -> None:
    assert lines("identity-of-literal", f"y = {test}") == []


def test_a_key_twice_in_a_dict_is_found_once() -> None:
    code = """\
        d = {
            'a': 1,
            'b': 2,
            'a': 3,
        }
    """
    assert [(f.line, f.message) for f in found("duplicate-key", code)] == [
        (2, "key 'a' appears more than once")
    ]


@pytest.mark.parametrize(
    "code", ["{1: 0, 1.0: 0}", "{a: 0, a: 1}", "{**a, **a}", "{'a': 0, b'a': 0}"]
)
def test_different_keys_are_fine(code: str) -> None:
    assert lines("duplicate-key", code) == []


def test_a_huge_integer_as_a_key_can_be_reported() -> None:
    key = "0x" + "f" * 5000
    [finding] = found("duplicate-key", f"d = {{{key}: 1, {key}: 2}}")
    assert finding.message == "a key appears more than once"


@pytest.mark.parametrize("jump", ["return", "raise", "raise ValueError"])
def test_code_after_a_jump_is_found(jump: str) -> None:
    assert lines("unreachable-code", f"def f():\n    if x:\n        {jump}\n        work()") == [4]


@pytest.mark.parametrize("jump", ["continue", "break"])
def test_code_after_a_jump_in_a_loop_is_found(jump: str) -> None:
    code = f"for x in y:\n    try:\n        work()\n    finally:\n        {jump}\n        work()"
    assert lines("unreachable-code", code) == [6]


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    if x:\n        return\n    work()",
        "def f():\n    return\n    yield",
        "def f():\n    raise NotImplementedError\n    x = yield from ()",
    ],
)
def test_code_beside_a_jump_and_generators_are_fine(code: str) -> None:
    assert lines("unreachable-code", code) == []


def test_a_method_hidden_by_another_is_found() -> None:
    code = """\
        class C:
            def run(self): pass
            def stop(self): pass
            def run(self): pass
    """
    [finding] = found("redefined-name", code)
    assert (finding.line, finding.symbol) == (4, "C")
    assert "line 2" in finding.message


@pytest.mark.parametrize(
    "code",
    [
        "def f(): pass\nf = wrap(f)\ndef f(): pass",
        "@overload\ndef f(): pass\n@overload\ndef f(): pass\ndef f(): pass",
        "class C:\n    @property\n    def x(self): pass\n    @x.setter\n    def x(self, v): pass",
        "if x:\n    def f(): pass\nelse:\n    def f(): pass",
        "def _(): pass\ndef _(): pass",
    ],
)
def test_definitions_that_belong_together_are_fine(code: str) -> None:
    assert lines("redefined-name", code) == []


@pytest.mark.parametrize("call", ["eval(x)", "exec('a' + b)", "eval(f'{x}')"])
def test_code_made_at_run_time_is_found(call: str) -> None:
    assert lines("dynamic-code", call) == [1]


@pytest.mark.parametrize(
    "call", ["eval('1 + 1')", "model.eval(x)", "ast.literal_eval(x)", "eval()"]
)
def test_fixed_code_and_other_functions_are_fine(call: str) -> None:
    assert lines("dynamic-code", call) == []


@pytest.mark.parametrize("call", ["os.system(command)", "subprocess.run(command, shell=True)"])
def test_a_made_command_in_a_shell_is_found(call: str) -> None:
    assert lines("shell-command", call) == [1]


@pytest.mark.parametrize(
    "call",
    [
        "os.system('ls')",
        "subprocess.run(command)",
        "run(command, shell=False)",
        "run('ls', shell=True)",
    ],
)
def test_fixed_commands_and_no_shell_are_fine(call: str) -> None:
    assert lines("shell-command", call) == []


def test_a_global_statement_is_found_and_named() -> None:
    [finding] = found("global-statement", "def f():\n    global a, b\n    a = b = 1")
    assert (finding.line, finding.symbol) == (2, "f")
    assert "`a, b`" in finding.message


def test_reading_a_global_is_fine() -> None:
    assert lines("global-statement", "def f():\n    return A\ndef g():\n    nonlocal_ = 1") == []

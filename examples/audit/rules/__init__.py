"""The table of rules. To add one: write a small function and a line here."""

from __future__ import annotations

import ast

from examples.audit.rules import comments, names, pitfalls, shape
from examples.audit.rules import exceptions as errors
from examples.audit.rules.base import FUNCTIONS, Rule

_BODIES = (ast.Module, ast.ClassDef)
_MODULE = (ast.Module,)
_CATCH = (ast.ExceptHandler,)
_TRY = (ast.Try, ast.TryStar)
_CALL = (ast.Call,)
_BLOCKS = (
    *FUNCTIONS, ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith,
    *_TRY, ast.ExceptHandler, ast.match_case,
)  # fmt: skip  # one kind per line would hide the table below

RULES: tuple[Rule, ...] = (
    Rule("long-function", "a function longer than 60 lines", FUNCTIONS, shape.function_length),
    Rule("complex-function", "cyclomatic complexity over 10", FUNCTIONS, shape.function_complexity),
    Rule("many-parameters", "more than 6 named parameters", FUNCTIONS, shape.parameter_count),
    Rule("deep-nesting", "statements nested more than 4 deep", FUNCTIONS, shape.nesting_depth),
    Rule("long-file", "a file of more than 1,000 lines", _MODULE, shape.file_length),
    Rule("bare-except", "`except:` without a type", _CATCH, errors.bare_except),
    Rule("swallowed-exception", "`except Exception: pass`", _CATCH, errors.swallowed_exception),
    Rule("lost-cause", "a new exception without `from`", _CATCH, errors.lost_cause),
    Rule("return-in-finally", "`return` in `finally`", _TRY, errors.return_in_finally),
    Rule(
        "raise-notimplemented", "`raise NotImplemented`", (ast.Raise,), errors.raise_not_implemented
    ),
    Rule("mutable-default", "a mutable default argument", FUNCTIONS, pitfalls.mutable_default),
    Rule(
        "assert-on-tuple", "an assert that is always true", (ast.Assert,), pitfalls.assert_on_tuple
    ),
    Rule(
        "identity-of-literal", "`is` with a literal", (ast.Compare,), pitfalls.identity_of_literal
    ),
    Rule("duplicate-key", "one key twice in a dict", (ast.Dict,), pitfalls.duplicate_key),
    Rule("unreachable-code", "code that never runs", _BLOCKS, pitfalls.unreachable),
    Rule("redefined-name", "a definition hidden by another", _BODIES, pitfalls.redefined),
    Rule("dynamic-code", "`eval` or `exec` of made text", _CALL, pitfalls.dynamic_code),
    Rule("shell-command", "a made command in a shell", _CALL, pitfalls.shell_command),
    Rule("global-statement", "`global` in a function", (ast.Global,), pitfalls.global_statement),
    Rule("missing-docstring", "a public name without docstring", _BODIES, names.missing_docstring),
    Rule("unused-import", "an import that nothing uses", _MODULE, names.unused_import),
    Rule("wildcard-import", "`from x import *`", (ast.ImportFrom,), names.wildcard_import),
    Rule("marker-comment", "TODO, FIXME, XXX, HACK", _MODULE, comments.marker_comment),
)

#: Findings that are not made by a node rule, for the legend of the report.
OTHER_RULES: dict[str, str] = {
    "duplicate-block": "the same code in two files of a folder",
    "syntax-error": "a file that the parser refuses",
    "unreadable-file": "a file that cannot be read or decoded",
    "too-large-file": "a file above 1 MiB, not analysed",
    "audit-failed": "an agent failed: its part was not analysed",
}

ABOUT: dict[str, str] = {rule.name: rule.about for rule in RULES} | OTHER_RULES

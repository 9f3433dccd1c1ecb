"""The analysis of one file: every rule meets every node that it asked for, in one walk."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from examples.audit.duplicates import Fingerprint, fingerprints
from examples.audit.findings import Finding, clean
from examples.audit.rules import RULES
from examples.audit.rules.base import FUNCTIONS, Hit, Rule
from examples.audit.source import SourceFile, load, parse


@dataclass(frozen=True, slots=True)
class FileAudit:
    """What the analysis of one file gives."""

    path: str
    #: Lines of the file; 0 when it could not be parsed.
    lines: int = 0
    #: Functions and methods in it.
    functions: int = 0
    findings: list[Finding] = field(default_factory=list)
    #: Marks by which the same code in another file is recognised.
    fingerprints: list[Fingerprint] = field(default_factory=list)


def audit_file(root: Path, path: str) -> FileAudit:
    """Analyse ``root / path``. Whatever is wrong with the file is a finding, never an error."""
    return _audit(load(root, path), path)


def audit_bytes(data: bytes, path: str) -> FileAudit:
    """Analyse a file's content. Never raises, whatever the bytes."""
    return _audit(parse(data, path), path)


def _audit(loaded: SourceFile | Finding, path: str) -> FileAudit:
    if isinstance(loaded, Finding):
        return FileAudit(path, findings=[loaded])
    return FileAudit(
        path,
        lines=len(loaded.lines),
        functions=sum(isinstance(node, FUNCTIONS) for node in loaded.nodes),
        findings=list(apply_rules(loaded)),
        fingerprints=fingerprints(loaded),
    )


def apply_rules(file: SourceFile, rules: tuple[Rule, ...] = RULES) -> Iterator[Finding]:
    """The findings of all rules on one parsed file, in the order of the walk."""
    table = _by_node(rules)
    for node, symbol in walk_with_symbols(file.tree):
        for rule in table.get(type(node), ()):
            for hit in rule.check(node, file):
                yield _finding(rule, hit, file, symbol)


def _by_node(rules: tuple[Rule, ...]) -> dict[type[ast.AST], list[Rule]]:
    table: dict[type[ast.AST], list[Rule]] = {}
    for rule in rules:
        for kind in rule.nodes:
            table.setdefault(kind, []).append(rule)
    return table


def _finding(rule: Rule, hit: Hit, file: SourceFile, symbol: str) -> Finding:
    message = clean(hit.message)
    return Finding(
        rule.name, file.path, hit.line, hit.severity, message, clean(symbol, 80), hit.excess
    )


def walk_with_symbols(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every node in source order, with the dotted name of the function or class around it.

    A definition is named by itself. Not recursive: source may be nested as deep as it likes.
    """
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, symbol = stack.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            symbol = f"{symbol}.{node.name}".lstrip(".")
        yield node, symbol
        stack.extend((child, symbol) for child in reversed(list(ast.iter_child_nodes(node))))

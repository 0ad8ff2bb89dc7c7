"""The fingerprint of code: what counts as a change and what does not."""

import pytest

from mspn.experiment import fingerprint as module


@pytest.fixture
def project(tmp_path, monkeypatch):
    package = tmp_path / "mspn"
    package.mkdir()
    monkeypatch.setattr(module, "_ROOT", tmp_path)

    def write(name: str, text: str) -> str:
        (package / f"{name}.py").write_text(text)
        module._parse.cache_clear()
        module.fingerprint.cache_clear()
        return module.fingerprint("mspn.a")

    yield write
    module._parse.cache_clear()
    module.fingerprint.cache_clear()


def test_code_counts_and_comments_docstrings_and_layout_do_not(project):
    project("b", "X = 1\n")
    first = project("a", '"""Doc."""\nfrom mspn.b import X\n\ndef f(x):\n    """Doc."""\n    return x + X\n')
    assert (
        project("a", '"""Other."""\nfrom mspn.b import X  # why\ndef f( x ):\n    return (x + X)\n') == first
    )
    assert project("a", "from mspn.b import X\ndef f(x):\n    return x - X\n") != first


def test_imported_modules_count_and_others_do_not(project):
    project("b", "X = 1\n")
    project("c", "Y = 1\n")
    first = project("a", "def f():\n    from mspn import b\n    return b.X\n")
    assert project("c", "Y = 2\n") == first
    assert project("b", "X = 2\n") != first

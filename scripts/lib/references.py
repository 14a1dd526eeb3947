"""Whether what the sources and documents refer to is there: sections of docs/spec, and files that links name."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CITATION = re.compile(r"docs/spec/([a-z]+\.md)((?:,?\s+\d+(?:\.\d+)*(?![\w.]*\w))*)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
COMMENT = re.compile(r"\n\s*(?://[/!]?|#)\s*")

pages = {
    page.name: set(re.findall(r"^#+ (\d+(?:\.\d+)*)\b", page.read_text(), re.MULTILINE))
    for page in (ROOT / "docs/spec").glob("*.md")
}
wrong = []
for name in subprocess.check_output(["git", "-C", ROOT, "ls-files"], text=True).split("\n"):
    path = ROOT / name
    if name.startswith("tests/vectors/") or not path.is_file():
        continue
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        continue
    for page, sections in CITATION.findall(COMMENT.sub(" ", text)):
        if page not in pages:
            wrong.append(f"{name}: docs/spec/{page} is not there")
            continue
        missing = [section for section in re.findall(r"\d+(?:\.\d+)*", sections) if section not in pages[page]]
        wrong += [f"{name}: docs/spec/{page} has no section {section}" for section in missing]
    if path.suffix == ".md":
        wrong += [f"{name}: {link} is not there" for link in LINK.findall(text) if not (path.parent / link).exists()]
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))

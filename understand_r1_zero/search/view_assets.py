"""How the page of a tree looks, and what its buttons do: the style and the script of `view`."""

STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --ink: #1d2430; --faint: #667085; --line: #e3e7ee; --row: #f5f7fa;
  --code: #dde8fc; --output: #e5e8ed; --path: #f4f0ff; --accent: #6941c6; --bar: #b3bccb;
  --right: #05676e; --right-fill: #d5f0f0; --wrong: #a23b00; --wrong-fill: #ffe6d5;
  --word: #e9ecf1; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171c; --ink: #e4e8ee; --faint: #98a2b3; --line: #2b313b; --row: #1c2027;
  --code: #1c2b48; --output: #272c35; --path: #272040; --accent: #b69cff; --bar: #566173;
  --right: #6fd6d6; --right-fill: #0e3b3e; --wrong: #ffab7a; --wrong-fill: #4a220c;
  --word: #2d343f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
header, nav, table { width: 100%; max-width: 1500px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 18px; }
h1 { font-size: 13px; margin: 0 0 4px; color: var(--faint); font-weight: 600; }
.problem { font-size: 17px; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere;
  max-width: 95ch; max-height: 12em; overflow: auto; margin: 0 0 12px; unicode-bidi: isolate; }
dl { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 0 0 10px; }
dt { color: var(--faint); font-size: 12px; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; max-width: 60ch; unicode-bidi: isolate; }
nav { position: sticky; top: 0; z-index: 2; background: var(--page); display: flex; flex-wrap: wrap;
  gap: 8px; align-items: center; min-height: 46px; }
nav span { color: var(--faint); font-size: 12px; margin-left: 8px; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
nav button { font-size: 13px; padding: 3px 11px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--row); }
nav button[aria-pressed=true] { border-color: var(--accent); color: var(--accent); }
button:disabled { opacity: .45; cursor: default; }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
table { border-collapse: separate; border-spacing: 0; table-layout: fixed; padding-bottom: 60px; }
th { position: sticky; top: 45px; z-index: 1; background: var(--page); color: var(--faint);
  font-size: 12px; font-weight: 600; text-align: right; padding: 3px 8px;
  border-bottom: 1px solid var(--line); cursor: help; }
th:first-child { text-align: left; cursor: default; }
th.number { width: 60px; } th.word { width: 104px; }
td { vertical-align: top; padding: 2px 8px; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.word { text-align: right; color: var(--faint); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
td.bar { background: linear-gradient(to right, transparent var(--from), var(--bar) var(--from)
  var(--to), transparent var(--to)) top 23px right 8px / calc(100% - 12px) 3px no-repeat; }
td:first-child { padding: 0; }
tbody tr:hover td { background-color: var(--row); }
tr.path td { background-color: var(--path); }
tr.path td:first-child { box-shadow: inset 4px 0 var(--accent); }
tr[hidden] { display: none; }
.only-path tbody tr:not(.path):not(.root) { display: none; }
.step { display: flex; align-items: baseline; column-gap: 7px; min-width: 0; min-height: 25px;
  padding: 2px 8px 2px calc(10px + var(--d) * 18px);
  background: repeating-linear-gradient(to right, transparent 0 17px, var(--line) 17px 18px)
  2px 0 / calc(var(--d) * 18px) 100% no-repeat; }
.fold { flex: none; min-width: 14px; color: var(--faint); text-align: left; white-space: nowrap; }
.fold::before { content: "\\25BE"; } .folded .fold::before { content: "\\25B8"; }
.below { display: none; flex: none; margin-left: auto; color: var(--faint); font-size: 12px; }
.folded .below { display: inline; }
.none { flex: none; width: 14px; }
.tag { flex: none; color: var(--faint); font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
.mark { flex: none; max-width: 30ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-size: 12px; font-weight: 600; line-height: 1.4; padding: 0 7px; border-radius: 9px;
  background: var(--word); unicode-bidi: isolate; }
.mark.right { color: var(--right); background: var(--right-fill); }
.mark.wrong { color: var(--wrong); background: var(--wrong-fill); }
.mark.chosen { color: var(--page); background: var(--accent); }
.mark.path { color: var(--accent); background: none; border: 1px solid; padding: 0 6px; }
header .mark { display: inline-block; max-width: 60ch; font-size: inherit; white-space: normal; }
.text { flex: 1; min-width: 0; overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
  unicode-bidi: isolate; cursor: pointer; }
.text .markup { display: none; }
.text code, .text samp { font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", monospace;
  border-radius: 4px; padding: 1px 4px; background: var(--code);
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.text samp { background: var(--output); }
.text code::before, .text samp::before { content: "code "; color: var(--faint); font-size: 11px; }
.text samp::before { content: "output "; }
.open .step, .texts .step, .only-path .path .step { flex-wrap: wrap; }
.open .text, .texts .text, .only-path .path .text { flex-basis: 100%; order: 1; margin: 2px 0 6px 21px;
  white-space: pre-wrap; overflow-wrap: anywhere; cursor: text; max-width: 100ch; }
.root .text { order: 0 !important; flex-basis: auto !important; margin: 0 !important; }
.open code, .open samp, .texts code, .texts samp, .only-path .path code, .only-path .path samp {
  display: inline-block; min-width: 40ch; padding: 4px 9px; margin: 2px 0; }
.open code::before, .open samp::before, .texts code::before, .texts samp::before,
.only-path .path code::before, .only-path .path samp::before { display: block; }
.delimiters .markup { display: inline; color: var(--faint); font-size: 12px; }
@media print { nav { display: none; } th { position: static; } .text { white-space: pre-wrap; } }
"""

SCRIPT = """
"use strict";
const table = document.querySelector("table");
const rows = [...document.querySelectorAll("tbody tr")];
const find = id => document.getElementById(id);
function draw() {
  const hidden = [];
  rows.forEach((row, i) => {
    const parent = row.dataset.parent;
    hidden[i] = parent !== undefined &&
      (hidden[parent] || rows[parent].classList.contains("folded"));
    row.hidden = hidden[i];
    const fold = row.querySelector(".fold");
    if (fold) fold.setAttribute("aria-expanded", !row.classList.contains("folded"));
    row.querySelector(".tag").setAttribute("aria-expanded", row.classList.contains("open"));
  });
  for (const [id, name] of [["path", "only-path"], ["texts", "texts"], ["delimiters", "delimiters"]])
    find(id).setAttribute("aria-pressed", table.classList.contains(name));
}
function foldAll(isFolded) {
  table.classList.remove("only-path");
  for (const row of rows)
    row.classList.toggle("folded", isFolded(row) && row.querySelector(".fold") !== null);
  draw();
}
find("fold").onclick = () => foldAll(row => !row.classList.contains("root"));
find("unfold").onclick = () => foldAll(() => false);
find("path").onclick = () => {
  const isOn = !table.classList.contains("only-path");
  foldAll(row => !row.matches(".root, .path"));
  table.classList.toggle("only-path", isOn);
  draw();
};
for (const name of ["texts", "delimiters"])
  find(name).onclick = () => { table.classList.toggle(name); draw(); };
table.onclick = event => {
  const row = event.target.closest("tbody tr");
  if (!row) return;
  if (event.target.closest(".fold")) row.classList.toggle("folded");
  else if (event.target.closest(".tag, .mark")) row.classList.toggle("open");
  else if (event.target.closest(".text") && getSelection().isCollapsed) row.classList.toggle("open");
  else return;
  draw();
};
draw();
"""

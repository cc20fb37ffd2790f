"""How the health page looks, and the policy that lets a browser use this sheet, named by its hash, and nothing else."""

from __future__ import annotations

import base64
import hashlib

SHEET = """
:root { color-scheme: light dark;
  --page: #fff; --panel: #f4f6f8; --text: #1c2126; --soft: #545d68; --line: #ced5dc;
  --good: #146c34; --bad: #b3261e; --warn: #7d5200; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14181d; --panel: #1d232a; --text: #e4e8ec; --soft: #a5afba; --line: #3a434d;
  --good: #57c785; --bad: #ff8f85; --warn: #e3b04b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header { border-left: .4rem solid; padding: .25rem 0 .25rem 1rem; color: var(--good); }
header.bad { color: var(--bad); }
h1 { margin: 0; font-size: 1.4rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .5rem 0; }
header p, .soft, dt, footer { color: var(--soft); font-size: .875rem; }
.list { margin: 0; padding: 0; list-style: none; }
.list li { margin: .5rem 0; padding: .6rem .8rem; background: var(--panel); border-left: .25rem solid var(--warn); }
.list.bad li { border-color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem 1.5rem; margin: 0; }
dd { margin: 0; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal; }
thead th { color: var(--soft); font-size: .875rem; font-weight: 600; }
tbody th { min-width: 7rem; font-weight: 400; }
tbody th, td:last-child { overflow-wrap: anywhere; }
th.number, td.number { width: 1%; text-align: right; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
th:last-child, td:last-child { padding-right: 0; }
@media (max-width: 30rem) { tbody th, td { font-size: .875rem; } }
summary { cursor: pointer; padding: .4rem 0; }
.days { display: grid; grid-template-columns: repeat(14, 1fr); gap: .2rem; margin: 0; padding: 0; list-style: none; }
.days li { min-width: 0; text-align: center; font-size: .8rem; line-height: 1.35; }
.days svg { display: block; width: 100%; height: 6rem; border-bottom: 1px solid var(--line); }
rect { vector-effect: non-scaling-stroke; stroke-width: 1.5; }
.complete rect { fill: var(--good); stroke: var(--good); }
.open rect { fill: var(--panel); stroke: var(--warn); }
.unknown rect { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
.days b { display: block; }
.complete b { color: var(--good); }
.open b { color: var(--warn); }
.unknown b { color: var(--soft); }
footer { margin-top: 2rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

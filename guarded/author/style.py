"""How the page of a schema looks, in light and in dark."""

from __future__ import annotations

STYLE = """:root {
  color-scheme: light dark;
  --ink: #1d2733; --soft: #5b6876; --paper: #ffffff; --sheet: #f5f7f9; --rule: #cfd7df;
  --head: #dfe8f2; --key: #33659c; --good: #1d7a46; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e3e8ee; --soft: #9aa7b4; --paper: #14181d; --sheet: #1b2027; --rule: #3a444f;
    --head: #263341; --key: #86b4e6; --good: #6cc794; --bad: #f2897f;
  }
}
body {
  margin: 0 auto; padding: 1rem 1.5rem 4rem; max-width: 90rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0.5rem 0 0; font-size: 1.5rem; }
h2 { margin: 2rem 0 0.75rem; font-size: 1.2rem; }
h3 { margin: 0; font: bold 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
a { color: var(--key); }
nav a { margin-right: 1rem; }
.facts, .legend { color: var(--soft); overflow-wrap: anywhere; }
.canvas {
  overflow: auto; border: 1px solid var(--rule); border-radius: 6px; background: var(--sheet);
}
.erd text, table, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.erd { display: block; margin: auto; max-width: max(100%, 70rem); height: auto; }
#full:checked ~ .canvas .erd { max-width: none; }
#full { margin: 0 0.4rem 0.75rem 0; }
.erd a { color: inherit; text-decoration: none; }
.erd text { font-size: 12px; fill: var(--ink); text-rendering: geometricPrecision; }
.erd .name { font-weight: bold; }
.erd .type { text-anchor: end; fill: var(--soft); }
.erd .mark { font-size: 9px; fill: var(--key); }
.erd .box { fill: var(--paper); stroke: var(--rule); }
.erd .head { fill: var(--head); }
.erd a:hover .box, .erd a:focus .box { stroke: var(--key); stroke-width: 2; }
.erd .key { fill: none; stroke: var(--key); stroke-width: 1.2; }
.erd .key:hover { stroke-width: 3; }
.erd .foot path { fill: none; stroke: var(--key); stroke-width: 1.2; }
.erd .foot circle { fill: var(--sheet); stroke: var(--key); stroke-width: 1.2; }
#tables {
  display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr));
}
#tables h2 { grid-column: 1 / -1; margin-bottom: 0; }
article { padding: 0.75rem 1rem; border: 1px solid var(--rule); border-radius: 6px; min-width: 0; }
article:target { border-color: var(--key); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12px; margin: 0.5rem 0; }
td, th {
  padding: 0.1rem 0.75rem 0.1rem 0; text-align: left; vertical-align: top; font-weight: normal;
}
th { white-space: nowrap; }
td { color: var(--soft); }
ul { margin: 0.25rem 0; padding-left: 1.2rem; font-size: 13px; overflow-wrap: anywhere; }
ol > li { margin-bottom: 1.25rem; }
ol p { margin: 0.15rem 0; }
.there { color: var(--soft); }
pre {
  overflow-x: auto; margin: 0.25rem 0; padding: 0.5rem; background: var(--sheet); font-size: 12px;
}
.badge {
  padding: 0 0.3rem; border: 1px solid; border-radius: 4px; font-size: 11px; color: var(--key);
}
.badge.applied { color: var(--good); }
.badge.changed, .badge.missing, .badge.unlisted { color: var(--bad); }
"""

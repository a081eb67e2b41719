"""The report's CSS, with light and dark colours, without external resources."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f7f7f4; --card: #ffffff; --ink: #16181d; --soft: #5c626e; --faint: #e4e5e0; --line: #d3d5cf;
  --critic: #2563c9; --actor: #c2540a; --good: #1d7a46; --bad: #b3261e; --wash: #f0f1ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121316; --card: #1b1d22; --ink: #ececec; --soft: #a2a7b2; --faint: #2b2e35; --line: #3a3e47;
    --critic: #7cabff; --actor: #ff9d5c; --good: #6fcf97; --bad: #ff8a80; --wash: #23262c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 52px 0 6px; letter-spacing: -.01em; }
h3 { font-size: 15px; margin: 0; }
p { margin: 0 0 12px; }
.lead, .note, .empty { color: var(--soft); }
.note { max-width: 72ch; margin-bottom: 14px; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px; }
.card { background: var(--card); border: 1px solid var(--faint); border-radius: 12px; padding: 20px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 20px;
  margin-top: 24px; }
.hero { font-size: 34px; font-weight: 650; letter-spacing: -.02em; line-height: 1.15;
  font-variant-numeric: tabular-nums; }
.hero small { font-size: 17px; font-weight: 400; color: var(--soft); letter-spacing: 0; }
.gain { color: var(--soft); margin-bottom: 8px; }
.critic { --series: var(--critic); } .actor { --series: var(--actor); }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 50%; background: var(--series);
  margin-right: 8px; }
.chart { width: 100%; height: auto; display: block; overflow: visible; }
.chart text { font: 12px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
.chart .value { fill: var(--ink); font-weight: 600; }
.grid { stroke: var(--faint); } .base { stroke: var(--soft); stroke-dasharray: 2 5; }
.line { fill: none; stroke: var(--series); stroke-width: 2; }
.whisker { fill: none; stroke: var(--series); stroke-width: 1.5; opacity: .65; }
.point { fill: var(--series); stroke: var(--card); stroke-width: 2; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(128px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--faint); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.bad b { color: var(--bad); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--faint); border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 9px 12px; border-top: 1px solid var(--faint); vertical-align: top;
  white-space: nowrap; }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: 13px; }
td.wide { white-space: normal; min-width: 200px; }
td .range { color: var(--soft); font-size: 12.5px; display: block; line-height: 1.3; }
.share { display: flex; gap: 10px; align-items: flex-start; } .share .bar { margin-top: 8px; }
.bar { flex: none; width: 64px; height: 8px; border-radius: 4px; background: var(--faint); }
.bar i { display: block; height: 100%; border-radius: 4px; background: var(--series); }
.chip { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 13px; background: var(--wash); }
.chip.good { color: var(--good); } .chip.bad { color: var(--bad); }
.sample { margin-top: 16px; }
.sample header { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; margin-bottom: 12px; }
.sample header .id { color: var(--soft); font-size: 13px; margin-left: auto; }
.play { display: grid; grid-template-columns: 1fr minmax(190px, 240px); gap: 20px; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 12px;
  align-content: start; }
figure { margin: 0; } figcaption { font-size: 12.5px; line-height: 1.35; margin-top: 5px; overflow-wrap: anywhere; }
figcaption em { color: var(--bad); font-style: normal; display: block; }
.frame { width: 100%; aspect-ratio: 1; border-radius: 8px; display: block; object-fit: cover;
  background: var(--wash); }
.none { display: grid; place-items: center; color: var(--soft); font-size: 12px; text-align: center; }
.third figcaption { color: var(--soft); }
.talk { list-style: none; margin: 18px 0 0; padding: 0;
  display: grid; gap: 7px; }
.talk .who { color: var(--soft); display: inline-block; min-width: 112px; }
.talk q { quotes: none; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); }
pre { background: var(--wash); border-radius: 10px; padding: 16px; overflow-x: auto; line-height: 1.5; }
@media (max-width: 640px) { .play { grid-template-columns: 1fr; } main { padding: 24px 16px 60px; } }
@media print { body { background: #fff; } .card, .tile, .scroll { break-inside: avoid; } }
"""

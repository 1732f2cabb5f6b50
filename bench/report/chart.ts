/**
 * A bar chart as SVG: one panel for each headline row, one bar for each candidate, with the spread as a whisker. It
 * carries its own colours for light and dark, by `prefers-color-scheme`, and no script.
 */
import type { Results } from '../measurement.ts';
import { ROWS, type Row } from './rows.ts';
import { type Summary, summaryOf } from './statistics.ts';
import { figure } from './table.ts';

const WIDTH = 860;
const MARGIN = 24;
const NAME_WIDTH = 150;
const FIGURE_WIDTH = 190;
const BAR_HEIGHT = 16;
const BAR_GAP = 5;
const PANEL_HEAD = 30;
const PANEL_GAP = 14;
const CHART_HEAD = 80;

const STYLE = `
  .back { fill: #ffffff } .text { fill: #1f2328 } .dim { fill: #59636e } .rule { stroke: #d1d9e0 }
  .bar { fill: #8c959f } .ours { fill: #0969da } .spread { stroke: #1f2328 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } .text { fill: #f0f6fc } .dim { fill: #9198a1 } .rule { stroke: #3d444d }
    .bar { fill: #656c76 } .ours { fill: #4493f8 } .spread { stroke: #f0f6fc }
  }
  text { font: 13px ui-sans-serif, system-ui, sans-serif } .title { font-size: 17px; font-weight: 600 }
  .head { font-weight: 600 }`;

interface Bar {
  readonly name: string;
  readonly summary: Summary;
}

interface Panel {
  readonly row: Row;
  readonly bars: readonly Bar[];
}

/** @returns a whole SVG document, of a height that follows the number of bars. */
export function chartSvg(results: Results): string {
  const panels = panelsOf(results);
  const drawn: string[] = [];
  let top = CHART_HEAD;
  for (const panel of panels) {
    drawn.push(drawPanel(panel, top));
    top += panelHeight(panel) + PANEL_GAP;
  }
  const { circumstances: c } = results;
  const title = `flannel0 benchmark, ${c.mode} mode`;
  const machine = `${c.cpu}, ${c.cores} cores, Linux ${c.kernel}`;
  const run = `medians of ${c.rounds} rounds, whiskers from least to most; commit ${c.commit}, ${c.date.slice(0, 10)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">`,
    `<title>${escapeXml(title)}</title><style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${top}" rx="8"/>`,
    `<text class="text title" x="${MARGIN}" y="30">${escapeXml(title)}</text>`,
    `<text class="dim" x="${MARGIN}" y="50">${escapeXml(machine)}</text>`,
    `<text class="dim" x="${MARGIN}" y="68">${escapeXml(run)}</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function panelsOf({ candidates, samples }: Results): Panel[] {
  return ROWS.filter(({ headline }) => headline)
    .map((row) => ({
      row,
      bars: candidates.flatMap(({ name }) => {
        const summary = summaryOf(samples, name, row.workload, row.metric);
        return summary === undefined ? [] : [{ name, summary }];
      }),
    }))
    .filter(({ bars }) => bars.length > 0);
}

function panelHeight({ bars }: Panel): number {
  return PANEL_HEAD + bars.length * (BAR_HEIGHT + BAR_GAP);
}

function drawPanel({ row, bars }: Panel, top: number): string {
  const most = Math.max(...bars.map(({ summary }) => summary.most));
  const room = WIDTH - 2 * MARGIN - NAME_WIDTH - FIGURE_WIDTH;
  const scale = (value: number) => (most > 0 ? (value / most) * room : 0);
  const head = `${row.title}, ${row.unit} (${row.better} is better)`;
  return [
    `<line class="rule" x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${top}" y2="${top}"/>`,
    `<text class="text head" x="${MARGIN}" y="${top + 20}">${escapeXml(head)}</text>`,
    ...bars.map((bar, index) => drawBar(row, bar, top + PANEL_HEAD + index * (BAR_HEIGHT + BAR_GAP), scale)),
  ].join('\n');
}

function drawBar(row: Row, { name, summary }: Bar, top: number, scale: (value: number) => number): string {
  const left = MARGIN + NAME_WIDTH;
  const at = (value: number) => (left + scale(value)).toFixed(1);
  const middle = top + BAR_HEIGHT / 2;
  const baseline = top + 13;
  const width = scale(summary.median).toFixed(1);
  const kind = name.startsWith('flannel0') ? 'ours' : 'bar';
  return [
    `<text class="text" x="${left - 8}" y="${baseline}" text-anchor="end">${escapeXml(name)}</text>`,
    `<rect class="${kind}" x="${left}" y="${top}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<line class="spread" x1="${at(summary.least)}" x2="${at(summary.most)}" y1="${middle}" y2="${middle}"/>`,
    `<text class="dim" x="${WIDTH - MARGIN}" y="${baseline}" text-anchor="end">${escapeXml(figure(row, summary))}</text>`,
  ].join('');
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

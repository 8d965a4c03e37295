import type { Figure, Results } from './results.js';
import { type ContenderName, contenderNames, contenders, type ScenarioName } from './scenarios.js';

interface Panel {
  readonly title: string;
  readonly scenario: ScenarioName;
  readonly figure: Figure;
}

const panels: readonly Panel[] = [
  { title: 'Round trips per second, 256 outstanding', scenario: 'echo256', figure: 'perSecond' },
  { title: 'Median microseconds of a round trip, 1 outstanding', scenario: 'echo1', figure: 'p50Us' },
  { title: 'Processor microseconds per round trip, 256 outstanding', scenario: 'echo256', figure: 'cpuUs' },
  { title: 'Answers of 64 KiB per second', scenario: 'blob', figure: 'perSecond' },
];

const WIDTH = 860;
const LABELS = 260;
const BAR = 18;
const HEAD = 44;

const escape = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const round = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);

function drawPanel({ title, scenario, figure }: Panel, results: Results, top: number): string {
  const values = contenderNames
    .map((name): [ContenderName, number] => [name, results.median(scenario, name, figure)])
    .filter(([, value]) => Number.isFinite(value) && value > 0);
  // Logarithmic: the slowest and the fastest are a thousand apart.
  const logs = values.map(([, value]) => Math.log10(value));
  const low = Math.floor(Math.min(...logs) - 0.2);
  const scale = (WIDTH - LABELS - 90) / (Math.max(...logs) - low);
  const bars = values.map(([name, value], index) => {
    const y = top + HEAD + index * BAR;
    const width = ((Math.log10(value) - low) * scale).toFixed(1);
    const color = name === 'hamlet' ? '#c0392b' : name === 'floor' ? '#7f8c8d' : '#5b84b1';
    return `<text x="${LABELS - 8}" y="${y + 12}" text-anchor="end">${escape(contenders[name])}</text>
<rect x="${LABELS}" y="${y + 2}" width="${width}" height="${BAR - 5}" fill="${color}"/>
<text x="${LABELS + Number(width) + 6}" y="${y + 12}">${round(value)}</text>`;
  });
  return `<text x="12" y="${top + 28}" class="title">${escape(title)}<tspan class="note">, logarithmic</tspan></text>\n${bars.join('\n')}`;
}

/** The figures of a run as an SVG, one panel below the other. */
export function plot(results: Results): string {
  const height = HEAD + contenderNames.length * BAR + 10;
  const drawn = panels.map((panel, index) => drawPanel(panel, results, index * height));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${panels.length * height + 10}">
<style>text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold; font-size: 14px } .note { font-weight: normal }</style>
<rect width="100%" height="100%" fill="white"/>
${drawn.join('\n')}
</svg>
`;
}

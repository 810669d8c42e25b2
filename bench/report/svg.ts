/** Plots as SVG text: lines over a logarithmic axis, and bars with whiskers. No library, no browser. */

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface LinePlot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface BarPlot {
  readonly title: string;
  readonly yLabel: string;
  readonly bars: readonly Bar[];
}

/** Told apart by people who see few colours too (Okabe and Ito). */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#555555', '#b3a700'];
const WIDTH = 760;
const HEIGHT = 400;
const LEFT = 76;
const RIGHT = 170;
const TOP = 44;
const BOTTOM = 52;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;

export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Round steps from 0 to at least the highest value: 1, 2 or 5 times a power of ten. */
export function ticks(highest: number, about = 5): number[] {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power * 10;
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** `12k`, `1.5M` */
export function shortNumber(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

const at = (value: number) => value.toFixed(1);

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${at(x)}" y="${at(y)}" ${attributes}>${escapeText(content)}</text>`;
}

function frame(
  title: string,
  yLabel: string,
  steps: readonly number[],
  y: (value: number) => number,
  right: number,
  body: readonly string[],
): string {
  const grid = steps.flatMap((step) => [
    `<line x1="${LEFT}" x2="${right}" y1="${at(y(step))}" y2="${at(y(step))}" stroke="#ddd"/>`,
    text(LEFT - 8, y(step) + 4, shortNumber(step), 'text-anchor="end"'),
  ]);
  const middle = TOP + PLOT_HEIGHT / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" fill="#222">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 24, title, 'font-size="15" font-weight="bold"'),
    ...grid,
    text(18, middle, yLabel, `text-anchor="middle" transform="rotate(-90 18 ${middle})"`),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/** Lines with error bars; x on a logarithmic axis, one mark for each value that occurs; y from 0. */
export function linePlot({ title, xLabel, yLabel, series }: LinePlot): string {
  const points = series.flatMap((one) => one.points);
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const steps = ticks(Math.max(...points.map(({ high }) => high)));
  const top = steps.at(-1) as number;
  const y = (value: number) => TOP + PLOT_HEIGHT * (1 - value / top);
  const [first = 1, last = 1] = [xs[0], xs.at(-1)];
  const span = Math.log(last / first) || 1;
  const x = (value: number) => LEFT + 12 + ((PLOT_WIDTH - 24) * Math.log(value / first)) / span;
  const axis = xs.flatMap((value) => [
    `<line x1="${at(x(value))}" x2="${at(x(value))}" y1="${TOP + PLOT_HEIGHT}" y2="${TOP + PLOT_HEIGHT + 5}" stroke="#222"/>`,
    text(x(value), TOP + PLOT_HEIGHT + 19, shortNumber(value), 'text-anchor="middle"'),
  ]);
  const lines = series.flatMap(({ name, points: own }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = own.map((point) => `${at(x(point.x))},${at(y(point.y))}`).join(' ');
    const legend = TOP + 10 + i * 20;
    return [
      ...own.map(
        (point) =>
          `<line x1="${at(x(point.x))}" x2="${at(x(point.x))}" y1="${at(y(point.low))}" y2="${at(y(point.high))}" stroke="${colour}" stroke-opacity="0.5"/>`,
      ),
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...own.map((point) => `<circle cx="${at(x(point.x))}" cy="${at(y(point.y))}" r="3" fill="${colour}"/>`),
      `<line x1="${LEFT + PLOT_WIDTH + 14}" x2="${LEFT + PLOT_WIDTH + 36}" y1="${legend}" y2="${legend}" stroke="${colour}" stroke-width="3"/>`,
      text(LEFT + PLOT_WIDTH + 42, legend + 4, name),
    ];
  });
  const label = text(LEFT + PLOT_WIDTH / 2, HEIGHT - 12, xLabel, 'text-anchor="middle"');
  return frame(title, yLabel, steps, y, LEFT + PLOT_WIDTH, [...axis, label, ...lines]);
}

/** Bars from 0, with a line from the lowest to the highest value. */
export function barPlot({ title, yLabel, bars }: BarPlot): string {
  const steps = ticks(Math.max(...bars.map(({ high }) => high)));
  const top = steps.at(-1) as number;
  const y = (value: number) => TOP + PLOT_HEIGHT * (1 - value / top);
  const room = (PLOT_WIDTH + RIGHT - 20) / bars.length;
  const width = Math.min(64, room * 0.6);
  const body = bars.flatMap(({ name, value, low, high }, i) => {
    const middle = LEFT + room * (i + 0.5);
    return [
      `<rect x="${at(middle - width / 2)}" y="${at(y(value))}" width="${at(width)}" height="${at(y(0) - y(value))}" fill="${COLOURS[i % COLOURS.length]}"/>`,
      `<line x1="${at(middle)}" x2="${at(middle)}" y1="${at(y(low))}" y2="${at(y(high))}" stroke="#222" stroke-width="1.5"/>`,
      text(middle, y(high) - 6, shortNumber(value), 'text-anchor="middle"'),
      text(middle, TOP + PLOT_HEIGHT + (i % 2 === 0 ? 18 : 34), name, 'text-anchor="middle" font-size="11"'),
    ];
  });
  return frame(title, yLabel, steps, y, WIDTH - 20, body);
}

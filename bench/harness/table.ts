import type { Unit } from './bench.ts';
import type { Row } from './summary.ts';

const COLUMNS = ['', 'Belfry', 'floor', 'ratio', 'bar', ''];

/** A Markdown table, aligned so that a terminal shows it as well. */
export function table(rows: readonly Row[]): string {
  const cells = [COLUMNS, ...rows.map(cellsOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => width(line, column))));
  const lines = cells.map((line) => {
    const padded = line.map((cell, column) => {
      const to = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(to) : cell.padStart(to);
    });
    return `| ${padded.join(' | ')} |`;
  });
  const rule = widths.map((to, column) => `${'-'.repeat(to + 1)}${column === 0 ? '-' : ':'}`);
  lines.splice(1, 0, `|${rule.join('|')}|`);
  return lines.join('\n');
}

function cellsOf({ name, unit, ours, floor, ratio, bars }: Row): string[] {
  return [
    name,
    figure(ours.median, unit),
    floor === undefined ? '' : figure(floor.median, unit),
    ratio === undefined || !Number.isFinite(ratio.median) ? '' : ratio.median.toFixed(2),
    bars.map(({ text }) => text).join(', '),
    bars.map(({ met }) => (met ? 'met' : 'missed')).join(', '),
  ];
}

/** Three significant digits at least, whole numbers from a hundred upwards. */
function figure(value: number, unit: Unit): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = value.toLocaleString('en-US', {
    minimumFractionDigits: Number.isInteger(value) ? 0 : digits,
    maximumFractionDigits: digits,
  });
  return `${text} ${unit}`.trimEnd();
}

function width(line: readonly string[], column: number): number {
  return line[column]?.length ?? 0;
}

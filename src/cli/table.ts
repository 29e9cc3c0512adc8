import { stripVTControlCharacters } from 'node:util';

/** Rows in aligned columns; the last is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
    }
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1
            ? cell
            : cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** `[#####-----] 50 %  5 of 10`. */
export function progressBar(done: number, total: number, what: string): string {
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const filled = Math.floor(share * 20);
  const bar = `${'#'.repeat(filled)}${'-'.repeat(20 - filled)}`;
  return `[${bar}] ${Math.floor(share * 100)} %  ${done} of ${total} ${what}`;
}

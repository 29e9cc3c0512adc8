import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/**
 * The examples of a page, in order. What a fence says behind its language is for the tests alone:
 *
 *   sh              run in the reader's terminal, where variables stay; curl must get no error, unless
 *                   the page shows the output
 *   sh poll         the same, again and again until the output is what the page shows
 *   sh background   run in a terminal of its own, after Ctrl-C to what ran there before
 *   sql             run on the reader's database
 *   ts              a file, whose name is in the first line: `// receiver.ts`
 *   none            what the block before it printed: see `shows`
 */
export interface Example {
  readonly kind: 'run' | 'poll' | 'background' | 'sql' | 'file';
  readonly text: string;
  readonly output?: string;
  /** Page and line. */
  readonly at: string;
}

/** `from` and `to`: only the part between these two headings. */
export async function readExamples(
  page: string,
  part: { from?: string; to?: string } = {},
): Promise<Example[]> {
  const path = fileURLToPath(new URL(`../../${page}`, import.meta.url));
  const examples: Example[] = [];
  for (const block of blocksOf(await readFile(path, 'utf8'), part)) {
    const at = `${page}:${block.line}`;
    const { text } = block;
    const kind = kinds[block.info];
    if (kind === undefined) throw new Error(`${at}: a fence of the kind "${block.info}"`);
    if (kind !== 'output') {
      examples.push({ kind, text, at });
      continue;
    }
    const last = examples.pop();
    const isPrinting = last?.kind === 'run' || last?.kind === 'poll' || last?.kind === 'sql';
    if (!isPrinting || last.output !== undefined) throw new Error(`${at}: an output of nothing`);
    examples.push({ ...last, output: text });
  }
  const aimless = examples.find(({ kind, output }) => kind === 'poll' && output === undefined);
  if (aimless !== undefined) throw new Error(`${aimless.at}: it does not say what to wait for`);
  return examples;
}

const kinds: Readonly<Record<string, Example['kind'] | 'output'>> = {
  sh: 'run',
  'sh poll': 'poll',
  'sh background': 'background',
  sql: 'sql',
  ts: 'file',
  '': 'output',
};

function blocksOf(markdown: string, { from, to }: { from?: string; to?: string }) {
  const blocks: { info: string; text: string; line: number }[] = [];
  let isIn = from === undefined;
  let open: { info: string; lines: string[]; line: number } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    if (line.startsWith('```')) {
      if (open === undefined) open = { info: line.slice(3).trim(), lines: [], line: index + 1 };
      else {
        if (isIn) blocks.push({ ...open, text: open.lines.join('\n') });
        open = undefined;
      }
    } else if (open !== undefined) open.lines.push(line);
    else if (line === from) isIn = true;
    else if (line === to) isIn = false;
  }
  if (open !== undefined) throw new Error(`the fence of line ${open.line} is not closed`);
  return blocks;
}

/**
 * Whether an output is what a page shows. `…` stands for anything within a line, on a line of its own
 * for any lines, also none. Blanks do not count, nor line ends that curl does not print behind a body.
 */
export function shows(page: string, output: string): boolean {
  const pattern = lines(page)
    .map((line) => (line === '…' ? String.raw`[\s\S]*` : line.split('…').map(literally).join('.*')))
    .join('\n?');
  return new RegExp(`^${pattern}$`).test(lines(output).join('\n'));
}

function literally(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replaceAll(/\s/g, ''))
    .filter((line) => line !== '');
}

/** What others wrote (receivers, callers) must not steer the terminal: without control characters. */
export function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ');
}

/** The same for what may have several lines. */
export function visibleLines(text: string): string {
  return text.split(/\r?\n/).map(visible).join('\n');
}

/**
 * Bytes as JSON can show them: as text where they are UTF-8, else in base64. Of bytes that were cut
 * off the last character may be missing.
 */
export function bodyText(
  bytes: Buffer,
  { isCut }: { isCut: boolean },
): { readonly text: string } | { readonly base64: string } {
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { text: decoder.decode(bytes, { stream: isCut }) };
  } catch {
    return { base64: bytes.toString('base64') };
  }
}

import { BelfryApiError } from './errors.ts';

/**
 * What an answer says.
 * @throws BelfryApiError `unexpected_response` when it is not JSON: a login page of a proxy, say.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what it asked for
export function answerJson<Body>(
  { status, text }: { readonly status: number; readonly text: string },
  part = text,
): Body {
  try {
    return JSON.parse(part);
  } catch {
    const message = `HTTP ${status} that is no answer of Belfry: ${text.slice(0, 200)}`;
    throw new BelfryApiError({ code: 'unexpected_response', status, message });
  }
}

import assert from 'node:assert/strict';
import { portList } from '../../../src/core/egressSettings.ts';
import { targetList } from '../../../src/core/settingParsers.ts';
import { parseTargetUrl, portOf } from '../../../src/core/target.ts';
import {
  createAddressGuard,
  type AddressGuard,
  type TargetPolicy,
} from '../../../src/delivery/addressGuard.ts';

/** A guard with the settings as an operator writes them. */
export function guardOf(
  options: { allow?: string; deny?: string; ports?: string } & Partial<TargetPolicy> = {},
): AddressGuard {
  const { allow = '', deny = '', ports, ...policy } = options;
  const [allowTargets, denyTargets] = [targetList.parse(allow), targetList.parse(deny)];
  assert.ok(allowTargets !== undefined, `ALLOW_TARGETS takes ${allow}`);
  assert.ok(denyTargets !== undefined, `DENY_TARGETS takes ${deny}`);
  return createAddressGuard({
    allowTargets,
    denyTargets,
    nat64Prefix: undefined,
    allowPorts: ports === undefined ? undefined : portList.parse(ports),
    httpsOnly: false,
    appDomain: undefined,
    ...policy,
  });
}

/** Where a delivery is stopped: by its text, by its parts, by an answer of the name server, or not. */
export type Stopped = 'url' | 'host' | 'port' | 'scheme' | 'answer' | 'nowhere';

export function stoppedAt(
  guard: AddressGuard,
  text: string,
  answers: readonly string[] = [],
): Stopped {
  let url: URL;
  try {
    url = parseTargetUrl(text, 600);
  } catch {
    return 'url';
  }
  const objection = guard.judgeUrl(url);
  if (objection !== undefined) return objection.rule;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = portOf(url);
  const refused = answers.some((answer) => guard.judgeAddress(host, port, answer) !== undefined);
  return refused ? 'answer' : 'nowhere';
}

export const words = (text: string) => text.trim().split(/\s+/);

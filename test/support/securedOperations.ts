import assert from 'node:assert/strict';
import { scopes, type Need, type Scope } from '../../src/core/principal.ts';

/** A route that asks for a token, as /openapi.json describes it. */
export interface SecuredOperation {
  readonly operationId: string;
  readonly method: string;
  /** With `{id}` and the like. */
  readonly template: string;
  readonly scope: Need;
}

/** A token that allows everything but this. */
export const scopesWithout: Readonly<Record<Scope, readonly Scope[]>> = {
  'timers:read': ['timers:write'],
  'timers:write': ['timers:read'],
  admin: ['timers:read', 'timers:write'],
  operator: ['admin'],
};

type Json = Readonly<Record<string, unknown>>;

/** Every route of the document but those that anybody may ask: they are listed here, by name. */
export function securedOperations(document: Json): SecuredOperation[] {
  const open: string[] = [];
  const secured: SecuredOperation[] = [];
  for (const [template, methods] of Object.entries(document['paths'] as Record<string, Json>)) {
    for (const [method, value] of Object.entries(methods)) {
      const operation = value as Json;
      const operationId = String(operation['operationId']);
      const [requirement] = (operation['security'] ?? []) as Record<string, string[]>[];
      if (requirement === undefined) {
        open.push(operationId);
        continue;
      }
      const [named] = requirement['token'] ?? ['none'];
      const scope = scopes.find((known) => known === named);
      // Whatever token: only of the route that tells whose it is.
      assert.ok(scope !== undefined || (named === undefined && operationId === 'getCaller'));
      secured.push({ operationId, method: method.toUpperCase(), template, scope: scope ?? 'any' });
    }
  }
  assert.deepEqual(open.toSorted(), [
    'getDocs',
    'getDocsFile',
    'getHealth',
    'getOpenApi',
    'getPublishedKeys',
    'getReady',
  ]);
  return secured;
}

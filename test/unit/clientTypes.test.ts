import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Static } from 'typebox';
import type * as client from '../../packages/client/src/index.ts';
import type {
  AttemptsBody,
  CancelledTimerBody,
  CreatedTimerBody,
  CreateTimerBody,
  ReadyBody,
  TimerBody,
} from '../../src/api/schemas.ts';
import type { AttemptErrorCode, FailureCode } from '../../src/core/attempt.ts';
import type { errorCatalogue } from '../../src/core/errors.ts';
import type { HttpMethod, TimerStatus } from '../../src/core/timer.ts';

/*
 * The client's types are written by hand; here the compiler holds them to the service's. Nothing is
 * left to do at run time: `npm run types` fails where they part.
 */

type Frozen<Value> = Value extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : Value extends object
    ? { readonly [Name in keyof Value]: Frozen<Value[Name]> }
    : Value;

type Same<Left, Right> = [Left] extends [Right] ? ([Right] extends [Left] ? true : false) : false;

/** What the client promises is what the schema says, or narrower; with the same fields. */
type Agrees<Client, Schema> = [Client] extends [Frozen<Schema>]
  ? Same<FieldsOf<Client>, FieldsOf<Schema>>
  : false;

type FieldsOf<Value> = Value extends unknown ? keyof Value : never;

/** The literals of a union that is open to other text. */
type Known<Text> = Text extends string ? (string extends Text ? never : Text) : never;

/** Compiles only when each is true. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it is all there is to check
function holds<_Claims extends readonly true[]>(): void {
  assert.ok(true);
}

/** Of the contract, on their way into the schemas. */
type ToCome = 'version' | 'key';

test('what the client says of answers is what the schemas say', () => {
  holds<
    [
      Agrees<client.CreatedTimer, Static<typeof CreatedTimerBody>>,
      Agrees<Omit<client.Timer, ToCome>, Omit<Static<typeof TimerBody>, ToCome>>,
      Agrees<client.Attempt, Static<typeof TimerBody>['attempts'][number]>,
      Agrees<client.AttemptWithResponse, Static<typeof AttemptsBody>['attempts'][number]>,
      Agrees<client.RetryPolicy, NonNullable<Static<typeof TimerBody>['retry']>>,
      Agrees<client.CancelledTimer, Static<typeof CancelledTimerBody>>,
      Agrees<client.Readiness, Static<typeof ReadyBody>>,
    ]
  >();
});

test('what the client lets a create say is what the schema takes', () => {
  holds<
    [
      Same<FieldsOf<client.NewTimer>, keyof Static<typeof CreateTimerBody>>,
      // A PATCH takes the same fields.
      Same<FieldsOf<client.TimerChanges>, keyof Static<typeof CreateTimerBody>>,
    ]
  >();
});

type ErrorsToCome = 'version_mismatch' | 'not_retryable';

test('words of the contract are the same on both sides', () => {
  holds<
    [
      Same<client.ErrorCode, keyof typeof errorCatalogue | ErrorsToCome>,
      Same<client.TimerStatus, TimerStatus>,
      Same<client.HttpMethod, HttpMethod>,
      Same<Known<client.FailureCode>, FailureCode>,
      Same<Known<client.AttemptErrorCode>, AttemptErrorCode>,
    ]
  >();
});

test('the comparison tells types apart', () => {
  holds<
    [
      Same<Agrees<{ a: string }, { a: number }>, false>,
      Same<Agrees<{ a: string; b: string }, { a: string }>, false>,
      Same<Agrees<{ a: string }, { a: string; b?: string }>, false>,
      Same<Agrees<{ a: 'x' }, { a: string }>, true>,
    ]
  >();
});

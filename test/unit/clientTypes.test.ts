import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Static } from 'typebox';
import type * as client from '../../packages/client/src/index.ts';
import type { AttemptsBody } from '../../src/api/schemas/attempt.ts';
import type { AuditListBody } from '../../src/api/schemas/audit.ts';
import type { BreakerBody } from '../../src/api/schemas/breaker.ts';
import type {
  DestinationBody,
  DestinationPatchBody,
  DestinationWishBody,
} from '../../src/api/schemas/destination.ts';
import type { ExplanationBody } from '../../src/api/schemas/explanation.ts';
import type { LimitsBody, LimitsPatchBody, UsageBody } from '../../src/api/schemas/limits.ts';
import type { NewTimerBody } from '../../src/api/schemas/newTimer.ts';
import type { ReadyBody } from '../../src/api/schemas/operations.ts';
import type {
  CancelledTimerBody,
  CreatedTimerBody,
  TimerBody,
} from '../../src/api/schemas/timer.ts';
import type {
  CallerBody,
  IssuedTokenBody,
  NewTokenBody,
  ProjectBody,
  TokenBody,
} from '../../src/api/schemas/token.ts';
import type { RotationBody, SecretBody } from '../../src/api/schemas/secret.ts';
import type {
  IssuedSigningKeyBody,
  NewSigningKeyBody,
  PublishedKeysBody,
  SigningKeyBody,
} from '../../src/api/schemas/signingKey.ts';
import type { PatchTimerBody } from '../../src/api/schemas/timerChange.ts';
import type { AttemptErrorCode, FailureCode } from '../../src/core/attempt.ts';
import type { BlockerCode } from '../../src/core/blockers.ts';
import type { errorCatalogue } from '../../src/core/errors.ts';
import type { Scope } from '../../src/core/principal.ts';
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

/** Without what the client leaves open to words that may come; those known are compared below. */
type Closed<Value> = Omit<Value, 'failure_code' | 'error_code' | 'attempts'>;

test('what the client says of answers is what the schemas say', () => {
  holds<
    [
      Agrees<client.CreatedTimer, Static<typeof CreatedTimerBody>>,
      Agrees<Closed<client.Timer>, Closed<Static<typeof TimerBody>>>,
      Agrees<Closed<client.Attempt>, Closed<Static<typeof TimerBody>['attempts'][number]>>,
      Agrees<
        Closed<client.AttemptWithResponse>,
        Closed<Static<typeof AttemptsBody>['attempts'][number]>
      >,
      Agrees<client.RetryPolicy, NonNullable<Static<typeof TimerBody>['retry']>>,
      Agrees<client.CancelledTimer, Static<typeof CancelledTimerBody>>,
      Agrees<client.Readiness, Static<typeof ReadyBody>>,
      Agrees<client.Token, Static<typeof TokenBody>>,
      Agrees<client.IssuedToken, Static<typeof IssuedTokenBody>>,
      Agrees<client.Project, Static<typeof ProjectBody>>,
      Agrees<client.Secret, Static<typeof SecretBody>>,
      Agrees<client.SigningKey, Static<typeof SigningKeyBody>>,
      Agrees<client.IssuedSigningKey, Static<typeof IssuedSigningKeyBody>>,
      Agrees<client.PublishedKey, Static<typeof PublishedKeysBody>['keys'][number]>,
      Agrees<client.SecretRotation, Static<typeof RotationBody>>,
      Agrees<client.Caller, Static<typeof CallerBody>>,
      Agrees<client.Limits, Static<typeof LimitsBody>>,
      Agrees<client.Breaker, Static<typeof BreakerBody>>,
      Agrees<
        Omit<client.Explanation, 'blocker' | 'also'>,
        Omit<Static<typeof ExplanationBody>, 'blocker' | 'also'>
      >,
      Agrees<Omit<client.Blocker, 'code'>, Omit<Static<typeof ExplanationBody>['blocker'], 'code'>>,
      Same<client.BlockerCode, BlockerCode>,
      Agrees<client.Destination, Static<typeof DestinationBody>>,
      Agrees<client.Usage, Static<typeof UsageBody>>,
      Agrees<client.AuditPage, Static<typeof AuditListBody>>,
    ]
  >();
});

test('what the client lets a create say is what the schema takes', () => {
  holds<
    [
      Same<FieldsOf<client.NewTimer>, keyof Static<typeof NewTimerBody>>,
      Same<FieldsOf<client.NewToken>, keyof Static<typeof NewTokenBody>>,
      Same<FieldsOf<client.DestinationSettings>, keyof Static<typeof DestinationWishBody>>,
      Same<FieldsOf<client.DestinationChanges>, keyof Static<typeof DestinationPatchBody>>,
      Same<FieldsOf<client.NewSigningKey>, keyof Static<typeof NewSigningKeyBody>>,
      Same<FieldsOf<client.LimitsPatch>, keyof Static<typeof LimitsPatchBody>>,
      Same<FieldsOf<client.TimerChanges>, keyof Static<typeof PatchTimerBody>>,
    ]
  >();
});

test('words of the contract are the same on both sides', () => {
  holds<
    [
      Same<client.ErrorCode, keyof typeof errorCatalogue>,
      Same<client.TimerStatus, TimerStatus>,
      Same<client.Scope, Scope>,
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

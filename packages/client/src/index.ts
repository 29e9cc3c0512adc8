export { createClient, type BelfryClient, type ClientOptions } from './client.ts';
export {
  BelfryApiError,
  BelfryConnectionError,
  type BelfryErrorCode,
  type ErrorCode,
  type FieldProblem,
  type Problem,
  type QuotaProblem,
} from './errors.ts';
export type { BreakersApi } from './breakersApi.ts';
export type { DestinationChangeOptions, DestinationsApi } from './destinationsApi.ts';
export type { ProjectsApi } from './projectsApi.ts';
export type { AccessApi, LimitsApi, NewToken, SecretsApi, TokensApi } from './accessApi.ts';
export type { NewSigningKey, SigningKeysApi } from './signingKeysApi.ts';
export type { BulkOptions, BulkPlan, BulkProgress, BulkResult } from './bulk.ts';
export type { BatchOptions } from './batch.ts';
export type { TimerList } from './list.ts';
export type { ByKey, CreateOptions, PutResult, TimersApi, UpdateOptions } from './timersApi.ts';
export type { CallOptions, FetchFunction } from './sender.ts';
export type * from './requests.ts';
export type * from './responses.ts';
export {
  verifyWebhook,
  WebhookVerificationError,
  type VerifiedWebhook,
  type VerifyOptions,
  type WebhookHeaders,
  type WebhookRefusal,
} from './webhook.ts';

import { openDatabases } from './app/databases.ts';
import { openAuthenticator } from './app/authenticator.ts';
import { breakerService } from './app/breakers.ts';
import { createDelivery } from './app/delivery.ts';
import { destinationService } from './app/destinations.ts';
import { explanations } from './app/explanations.ts';
import { listenForNotices } from './app/notices.ts';
import { nearTimers } from './app/near.ts';
import { operations } from './app/operations.ts';
import { projectStates } from './app/projectStates.ts';
import { checkProtection } from './app/protection.ts';
import { toldTo } from './app/refusals.ts';
import { unwind, type Undo } from './app/unwind.ts';
import { upkeep } from './app/upkeep.ts';
import { createWaiting } from './app/waiting.ts';
import { createServer } from './api/server.ts';
import type { Config } from './config.ts';
import { createBulkTokens } from './core/bulkToken.ts';
import { machineClock } from './core/clock.ts';
import { visibleStatus } from './core/visibleStatus.ts';
import { createAddressGuard } from './delivery/addressGuard.ts';
import { createLimits } from './limits/limits.ts';
import { createBulkChanges } from './scheduler/bulkChanges.ts';
import { createChanger } from './scheduler/changer.ts';
import { createChores } from './scheduler/chores.ts';
import { createDatabaseClock } from './scheduler/databaseClock.ts';
import { createDestinationBook } from './scheduler/destinationBook.ts';
import { createLease } from './scheduler/lease.ts';
import { createRetention } from './scheduler/retention.ts';
import { createScheduler } from './scheduler/scheduler.ts';
import { createSecretRequests } from './scheduler/secretRequests.ts';
import { createSecretRotator } from './scheduler/secretRotator.ts';
import { createPublishedKeys } from './scheduler/publishedKeys.ts';
import { createSecretValues } from './scheduler/secretValues.ts';
import { createSigningKeys } from './scheduler/signingKeys.ts';
import { createTimerChanges } from './scheduler/timerChanges.ts';
import { createTlsIdentities } from './scheduler/tlsIdentities.ts';
import { createAuditLog } from './store/auditLog.ts';
import { createTimerCanceller } from './store/cancelTimers.ts';
import { createTimerChanger } from './store/changeTimers.ts';
import { claimedBytesMax } from './store/claimedRows.ts';
import { createFairClaimStore } from './store/fairClaim.ts';
import { createChoreLeaseStore } from './store/choreLease.ts';
import { createTimerCreator, replayOf } from './store/createTimers.ts';
import { createDestinationStores } from './store/destinationStores.ts';
import { createGiveBackStore } from './store/giveBacks.ts';
import { createIdempotencyKeyStore } from './store/idempotencyKeys.ts';
import { isInitialised, readInstallation } from './store/installation.ts';
import { createLaneStores } from './store/laneStores.ts';
import { createLimitStores } from './store/limitStores.ts';
import { createTimerPages } from './store/listPages.ts';
import type { StoredStatus } from './store/listTimers.ts';
import { readMigrations, schemaState } from './store/migrate.ts';
import { createNamedTimerStore } from './store/namedTimers.ts';
import { openSecrets } from './store/openSecrets.ts';
import { openStore } from './store/open.ts';
import { createOutcomeRecorder } from './store/outcomes.ts';
import { ensurePartitions } from './store/partitions.ts';
import { createProcessStore } from './store/processes.ts';
import { createProjectStore } from './store/projects.ts';
import { createTimerReader } from './store/readTimers.ts';
import { createStandingReader } from './store/timerStandings.ts';
import { createRetentionStore } from './store/retention.ts';
import { createTimerReviver } from './store/retryTimers.ts';
import { createTokenStore } from './store/tokens.ts';
import { createWakeUps } from './store/wakeUps.ts';
import type { Logger } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';

/** A running service. */
export interface App {
  /** Where the API listens; undefined for a process without the `api` role. */
  readonly url: string | undefined;
  /** Nobody is asked for a token, as yet. */
  readonly isOpen: boolean;
  /** Where the embedded PostgreSQL keeps its data; undefined when it is not used. */
  readonly embeddedDataDir: string | undefined;
  /** Lets attempts under way end (within SHUTDOWN_TIMEOUT), gives the rest back. Tolerates repetition. */
  stop(): Promise<void>;
}

const heldBytesMax = 32 * 1024 * 1024;
const outcomeDrainMs = 5_000;
const closeWithinMs = 3_000;
/** Beside its statement a chore's step has to connect. */
const choreLeaseMarginMs = 10_000;

/**
 * The composition root: the only place that constructs services. What is started here is stopped
 * in the opposite order, also when a later step fails.
 * @throws Error when the store cannot be opened or the port is taken.
 */
export async function startApp(config: Config, log: Logger, signal?: AbortSignal): Promise<App> {
  const undo: Undo = [];
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= unwind(undo, log));
  try {
    return { ...(await start(config, log, undo, signal)), stop };
  } catch (err) {
    await stop();
    throw err;
  }
}

async function start(
  config: Config,
  log: Logger,
  undo: Undo,
  signal: AbortSignal | undefined,
): Promise<Omit<App, 'stop'>> {
  const store = await openStore({ ...config.database, log, signal, undo });
  const { statementTimeoutMs } = config.database;
  const runsScheduler = config.roles.includes('scheduler');
  const { database, heartbeats, listDatabase } = openDatabases({ store, config, undo });
  const migrations = await readMigrations();
  const installation = await readInstallation(database);
  const isOpen = await checkProtection(config, () => isInitialised(database));
  await ensurePartitions(database, config.retention);
  const secrets = await openSecrets({ ...config, ...store, database, listDatabase, log });
  const { box, signingKeys } = secrets;

  const clock = machineClock;
  const databaseClock = createDatabaseClock(clock);
  const nowMs = () => {
    const databaseMs = databaseClock.nowMs();
    return databaseMs === -Infinity ? clock.wallMs() : databaseMs;
  };
  const tokens = createTokenStore(database);
  const limitStores = createLimitStores(database, listDatabase);
  const authenticator = openAuthenticator({
    config: config.api,
    tokens,
    isInitialised: () => isInitialised(database),
    limits: limitStores.limits.read,
    clock,
  });
  const limits = createLimits({
    stores: limitStores,
    clock,
    log,
    quotasOf: authenticator.quotasOf,
    rules: { nowMs, retryDefaults: config.delivery.retry },
    replayOf: (timer) => replayOf(database, timer),
  });
  undo.push(() => limits.stop());

  const processes = createProcessStore(database);
  const reader = createTimerReader(database);
  const giveBacks = createGiveBackStore(database);
  const cancels = createTimerCanceller(database);
  const outcomes = createOutcomeRecorder(database);
  const wakeUps = createWakeUps(database);
  const idempotencyKeys = createIdempotencyKeyStore(database);
  const secretValues = createSecretValues({ store: secrets, clock });
  const signing = createSigningKeys({ store: signingKeys, box, clock });
  const held = () => scheduler.held();
  const metrics = createMetrics(held, () => waiting.laneCounts());
  const guard = createAddressGuard({ ...config.delivery, appDomain: config.appDomain });
  const lease = createLease({
    store: createProcessStore(heartbeats),
    clock,
    databaseClock,
    ttlMs: config.scheduler.heartbeatTtlMs,
    log,
    onLost: (owner) => scheduler.dropOwner(owner),
    onHeld: () => scheduler.resume(),
  });
  const deliverer = createDelivery({
    config: config.delivery,
    guard,
    nowMs: databaseClock.nowMs,
    monotonicMs: clock.monotonicMs,
    installationId: installation.id,
  });
  undo.push(() => deliverer.close());
  const destinationStores = createDestinationStores(database, box);
  const book = createDestinationBook(destinationStores.book);
  const laneStores = createLaneStores(database);
  const waiting = createWaiting({
    stores: { ...laneStores, living: processes.living },
    book,
    ...config.delivery,
    metrics,
    take: limits.allowances.take,
    owner: lease.owner,
    lookAheadMs: config.scheduler.lookAheadMs,
    nowMs: databaseClock.nowMs,
    monotonicMs: clock.monotonicMs,
    log,
    deliverer,
    scheduler: () => scheduler,
    onReleased: (nextAtMs) => (scheduler.wake(nextAtMs), wakeUps.tell(nextAtMs)),
  });
  const scheduler = createScheduler({
    ...waiting.judged,
    book,
    store: { ...createFairClaimStore(database), ...processes },
    recorder: outcomes,
    onEnded: limits.timers.ended,
    secrets: createSecretRequests({
      box,
      values: secretValues,
      identities: createTlsIdentities(destinationStores.book),
    }),
    signing,
    transport: deliverer,
    lease,
    clock,
    databaseClock,
    log,
    metrics,
    ...config.scheduler,
    heldRowsMax: config.scheduler.heldTimersMax,
    heldBytesMax,
    rowBytesMax: claimedBytesMax,
    retryDefaults: config.delivery.retry,
  });
  const changer = createChanger({
    store: { ...reader, ...giveBacks, ...processes },
    own: { scheduler, owner: lease.owner },
  });
  const near = nearTimers({ ...config.scheduler, scheduler, wakeUps });
  const creates = createTimerCreator({
    database,
    idempotencyWindowMs: config.api.idempotencyWindowMs,
    near,
    box,
  });
  const named = createNamedTimerStore({ database, near, box });
  const changes = createTimerChanges({
    changer,
    store: {
      read: reader.read,
      change: createTimerChanger({ database, near, box }).change,
      find: named.find,
      ...limits.timers.counting({
        cancel: cancels.add,
        revive: createTimerReviver({ database, near }).add,
        createNamed: named.create,
      }),
    },
  });

  const statusOf = (stored: StoredStatus) => {
    const phase = scheduler.phaseOf(stored.timer.id);
    const started =
      stored.owner === lease.owner() ? phase === 'started' || phase === 'recording' : undefined;
    return visibleStatus(stored, started);
  };
  const pages = createTimerPages({ database: listDatabase, statusOf });
  const stopping = new AbortController();
  const bulk = createBulkChanges({
    walk: pages,
    changes: {
      cancel: async (projectId, id) => (await changes.cancel(projectId, id)).kind === 'cancelled',
      retry: async (projectId, id) =>
        (await changes.retry(projectId, id, { kind: 'after', delayMs: 0 })).kind === 'retried',
    },
    tokens: createBulkTokens({ secret: installation.secret, nowMs }),
    clock,
    signal: stopping.signal,
  });

  const notices = listenForNotices({
    url: store.directUrl,
    log,
    owner: lease.owner,
    scheduler,
    changer,
    lanes: waiting,
  });
  undo.push(() => notices.stop());
  const audit = createAuditLog(database);
  const projects = createProjectStore(database);
  const retention = createRetention({
    store: createRetentionStore(database),
    retention: config.retention,
    metrics,
    log,
  });
  const chores = createChores({
    chores: upkeep({
      preparePartitions: () => ensurePartitions(database, config.retention),
      retention,
      forgetKeys: () => idempotencyKeys.forget(config.api.idempotencyWindowMs),
      audit,
      async markTokensUsed() {
        const used = authenticator.takeUsed();
        if (used.length > 0) await tokens.markUsed(used);
      },
      registerSecretKey: secrets.register,
      forgetAllowances: () => limitStores.allowances.forget(),
      giveBacks,
      answerRequests: notices.look,
      forgetLanes: () => laneStores.destinations.forget().then(() => laneStores.breakers.forget()),
      lanes: runsScheduler ? { ...waiting, refresh: notices.refreshLanes } : undefined,
      destinations: runsScheduler ? book : undefined,
      signing,
    }),
    leases: createChoreLeaseStore(database),
    leaseTtlMs: statementTimeoutMs + choreLeaseMarginMs,
    log,
  });
  chores.start();
  undo.push(() => chores.stop());

  if (runsScheduler) {
    await waiting.refresh();
    await book.refresh();
    await lease.start();
    await waiting.countProcesses();
    undo.push(() => lease.stop().then(lease.retire));
    undo.push(() => outcomes.drain(AbortSignal.timeout(outcomeDrainMs)));
    scheduler.start();
    waiting.pulls.start();
    undo.push(() => waiting.pulls.stop());
  }
  const stopScheduler = () => scheduler.stop(AbortSignal.timeout(config.shutdownTimeoutMs));
  if (!config.roles.includes('api')) {
    undo.push(stopScheduler);
    return { url: undefined, isOpen, embeddedDataDir: store.embeddedDataDir };
  }
  const rotator = createSecretRotator({ store: secrets.rotation(near), clock });

  const server = createServer({
    authenticator,
    tokens: {
      projects,
      projectStates: projectStates(projects, async (id) => {
        wakeUps.tellLanes(id);
        if (runsScheduler) await notices.refreshLanes();
      }),
      tokens,
      audit,
    },
    secrets: { ...secrets, ...rotator },
    destinations: destinationService({
      store: destinationStores.settings,
      book: runsScheduler ? book : undefined,
      rules: { ...config.delivery, canKeepSecrets: box !== undefined, nowMs },
    }),
    breakers: breakerService(laneStores.breakers, runsScheduler ? waiting.refresh : undefined),
    signingKeys: { ...signingKeys, ...createPublishedKeys({ store: signingKeys, clock }) },
    rateKeeper: limits.allowances,
    limits: { ...limitStores.limits, usage: limits.usage },
    timers: {
      async create(timer) {
        const created = await limits.timers.create(timer, creates.add, ({ isReplay }) => !isReplay);
        if (!created.isReplay) metrics.created.inc();
        return created;
      },
      async putByKey(timer, key) {
        const result = await changes.putByKey(limits.timers.within(timer), key);
        if (result.kind === 'created') metrics.created.inc();
        return result;
      },
      async read(projectId, id) {
        const stored = await reader.read(projectId, id);
        if (stored === undefined) return undefined;
        return { ...stored.timer, status: statusOf(stored) };
      },
      list: pages.summaries,
      attempts: reader.attempts,
      explain: explanations({ ...createStandingReader(database), statusOf }),
      find: named.find,
      cancel: changes.cancel,
      update: (projectId, id, edit, ifVersion) =>
        changes.update(
          projectId,
          id,
          (timer) => limits.timers.edited(timer, edit(timer)),
          ifVersion,
        ),
      fire: changes.fire,
      retry: changes.retry,
      cancelByKey: changes.cancelByKey,
      bulk,
      rules: {
        judgeTarget: (url) => toldTo(log, guard.judgeUrl(url)),
        nowMs,
        urlLengthMax: config.api.urlLengthMax,
        timeoutMaxMs: config.delivery.timeoutMaxMs,
        retryDefaults: config.delivery.retry,
        canKeepSecrets: box !== undefined,
      },
      secrets: secretValues,
    },
    operations: operations(
      {
        schemaState: () => schemaState(database, migrations),
        scheduler: runsScheduler
          ? { heartbeatAgeMs: lease.ageMs, loopAgeMs: scheduler.loopAgeMs }
          : undefined,
        heartbeatTtlMs: config.scheduler.heartbeatTtlMs,
        listening: notices.connected,
      },
      metrics,
    ),
    bodyBytesMax: config.api.bodyBytesMax,
    batchBytesMax: config.api.batchBytesMax,
    log,
  });
  undo.push(async () => {
    stopping.abort();
    // A client that never finishes its request must not hold the process; one that has, gets its
    // answer. Meanwhile nothing is claimed any more.
    const patience = setTimeout(() => server.server.closeAllConnections(), closeWithinMs);
    await Promise.all([server.close(), stopScheduler()]);
    clearTimeout(patience);
  });
  const url = await server.listen({ host: config.api.host, port: config.api.port });
  return { url, isOpen, embeddedDataDir: store.embeddedDataDir };
}

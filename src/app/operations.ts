import { createReadiness, type ReadinessSources } from '../api/readiness.ts';
import type { Operations } from '../api/routes/operations.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What is asked about the process itself. */
export function operations(sources: ReadinessSources, { registry }: Metrics): Operations {
  return {
    ready: createReadiness(sources),
    metrics: async () => ({
      contentType: registry.contentType,
      text: await registry.metrics(),
    }),
  };
}

/**
 * How fast claims park a crowd. What is parked has time, and others have not: it goes in small steps, with a pause
 * after each that is as long as the step was. What this process holds already is parked at once: until it is,
 * it belongs to nobody whom a cancel could ask.
 */
export interface ParkPace {
  /** Rows that the next look for more may take, of those that it might. */
  rowsMax(rowsMax: number): number;
  /** A look has found so many, most of them perhaps only to be parked. */
  found(found: { readonly rows: number; readonly parked: number }, tookMs: number): void;
  /** Milliseconds until the next look. */
  restMs(): number;
}

/**
 * A step of 500 keeps a core busy for some 17 ms, and as soon as it was over the next one began: on two cores
 * everybody else waited for one, PostgreSQL's other statements and the receiver as well.
 */
const parkRowsMax = 125;
/** Of what a look finds: from there on it is a look at a crowd. */
const parkedShare = 0.75;

export function createParkPace(monotonicMs: () => number): ParkPace {
  let isParking = false;
  let restsUntilMs = -Infinity;
  return {
    rowsMax: (rowsMax) => (isParking ? Math.min(rowsMax, parkRowsMax) : rowsMax),
    found({ rows, parked }, tookMs) {
      isParking = parked > parkedShare * rows;
      if (isParking) restsUntilMs = monotonicMs() + tookMs;
    },
    restMs: () => Math.max(0, restsUntilMs - monotonicMs()),
  };
}

/** The two clocks of the machine. `monotonicMs` never steps; `wallMs` is the Unix epoch. */
export interface MachineClock {
  monotonicMs(): number;
  wallMs(): number;
}

export const machineClock: MachineClock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};
